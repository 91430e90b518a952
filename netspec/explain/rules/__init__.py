"""Why torch refused an operation, found from what was handed to it, and told in netspec's words."""
