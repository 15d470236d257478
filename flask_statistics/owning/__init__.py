"""What an owner may do with the data: delete what is old, forget a person, take it along."""
