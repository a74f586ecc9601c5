"""The pinned files that others trained: where they come from, fetched and checked."""
