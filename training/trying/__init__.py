"""What ``try`` is made of: the page, the judging behind it and the heat map."""
