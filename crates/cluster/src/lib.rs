//! For tests only: a real KDC, NameNodes and DataNodes as processes on loopback.
