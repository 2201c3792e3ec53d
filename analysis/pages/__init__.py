"""From numbers to pictures. Nothing is decided here."""
