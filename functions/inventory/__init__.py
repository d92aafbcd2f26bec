"""Staff: catalogue, stock, fulfilment, shop settings; stock and shipping jobs."""
