"""What the user can ask the window for: how an action is declared, and the menus made of them."""
