"""The list of distinct critical points that many starts reach: its rows, the list, its file."""
