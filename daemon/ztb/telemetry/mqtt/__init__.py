"""Telemetry and commands over MQTT; MQTT.md has the topics and how to sign a command."""
