-- A mail names the shop as its settings do, and writes amounts and dates in its locale.
grant select on shop_settings to vitrine_notify;
