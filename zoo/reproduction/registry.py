"""All tables and figures, in the order of the report."""

from zoo.reproduction import controls, deconvnet, filters, objects, salinet, tunnel

__all__ = ["ITEMS"]

ITEMS = (
    *tunnel.ITEMS,
    *controls.ITEMS,
    *salinet.ITEMS,
    *objects.ITEMS,
    *filters.ITEMS,
    *deconvnet.ITEMS,
)
