"""The neutral corpus that ships in resources/learned, and the script that makes it."""
