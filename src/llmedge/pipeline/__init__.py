"""What happens to one Call. Knows neither HTTP requests nor vendors."""
