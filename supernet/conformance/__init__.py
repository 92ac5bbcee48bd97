"""What every supernet must do, be it ours or a user's own; each check is a generator of what is otherwise."""
