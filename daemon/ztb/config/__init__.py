"""Configuration: one strict file, parsed once into frozen, bounded types with the unit in the name.

Precedence: flags, environment, file, default; every value knows where it came from.
"""

from ztb.config.loading import Loaded, load_config, read_object, recorded_config, with_settings
from ztb.config.market import MarketSection
from ztb.config.model import Config, config_hash, schema
from ztb.config.running import MqttSection, TelemetrySection

__all__ = [
    "Config",
    "Loaded",
    "MarketSection",
    "MqttSection",
    "TelemetrySection",
    "config_hash",
    "load_config",
    "read_object",
    "recorded_config",
    "schema",
    "with_settings",
]
