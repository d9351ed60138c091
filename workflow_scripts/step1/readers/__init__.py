"""One way to read every kind of source: a reader walks its members and hands over the content of those that are wanted."""
