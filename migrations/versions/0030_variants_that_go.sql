-- One that was never stocked or ordered may go: the function `inventory` looks for its movements under its lock.
grant delete on variants to vitrine_inventory;
