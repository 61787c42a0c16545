"""`ztb doctor`: what may keep the daemon from running well, each with what to do about it."""

from ztb.runtime.doctor.findings import Finding, Patient, Verdict
from ztb.runtime.doctor.rounds import diagnose

__all__ = ["Finding", "Patient", "Verdict", "diagnose"]
