"""Files for TFLite for Microcontrollers, with weights that it decodes."""
