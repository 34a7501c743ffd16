"""What every answer says beside its rate: power, goodput, cost."""
