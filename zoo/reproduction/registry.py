"""All tables and figures, in the order of the report."""

from zoo.reproduction import (
    controls,
    deconvnet,
    filters,
    objects,
    salinet,
    sensitivity,
    trainings,
    tunnel,
)

__all__ = ["ITEMS"]

ITEMS = (
    *tunnel.ITEMS,
    *trainings.ITEMS,
    *controls.ITEMS,
    *salinet.ITEMS,
    *objects.ITEMS,
    *filters.ITEMS,
    *deconvnet.ITEMS,
    *sensitivity.ITEMS,
)
