from .dream import DeviceDream as DeviceDream
from .scorer import DeviceDreams as DeviceDreams
