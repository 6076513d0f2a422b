"""Tours: a headless browser walks through the pages people use, checks what it sees and keeps pictures."""
