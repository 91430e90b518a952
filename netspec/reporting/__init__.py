"""What people and programs are told: diagnostics on a screen or as data, and the pages of codes."""
