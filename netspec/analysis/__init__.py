"""What a spec is, for programs that ask: editors, pictures, diffs; right or half written."""
