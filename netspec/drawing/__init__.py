"""Pictures of a network, from its analysis: a page to open, Mermaid; of a wrong spec, too."""
