"""Which engine takes a session or a job, and why."""

from speechlane.router.route import Route, RouteRequest, choose_route, ordered_routes

__all__ = ["Route", "RouteRequest", "choose_route", "ordered_routes"]
