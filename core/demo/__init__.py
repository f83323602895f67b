"""The demo pair: its posts, its recipe, its base and its judge; nothing else knows them."""
