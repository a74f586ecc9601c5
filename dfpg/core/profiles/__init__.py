"""One YAML per profile; base.yaml holds the paper's values."""
