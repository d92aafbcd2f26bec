"""How long every kind of search takes, beside a full scan, trigrams and a search engine on the same rows."""
