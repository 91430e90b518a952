"""What a layer or an expression calls: functions, methods, modules, blocks."""
