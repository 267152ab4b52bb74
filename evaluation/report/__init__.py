"""What a person reads: pages, charts, tables and sentences."""
