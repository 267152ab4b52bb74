"""The dream's dynamics: M stepped from injected noise, many lanes or one."""
