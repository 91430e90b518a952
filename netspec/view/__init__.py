"""Views of a program: what people look at. Changes nothing."""
