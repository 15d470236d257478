"""What people see: pages, JSON, Flask-Admin."""
