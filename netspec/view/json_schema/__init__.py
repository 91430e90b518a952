"""The language as a JSON Schema, which an editor checks and completes specs by."""

from netspec.view.json_schema.document import language_schema

__all__ = ["language_schema"]
