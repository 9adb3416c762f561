"""Calls that wait inside gRPC wait behind calls of their own method only."""

import asyncio
from typing import Any

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

from sprocket.v1.location_pb2 import ListLocationsRequest
from sprocket.v1.location_pb2_grpc import LocationServiceStub
from tests.support.service import Service

FLOOD = 400


async def test_a_health_check_does_not_wait_behind_a_flood_of_other_calls(service: Service) -> None:
    with grpc.insecure_channel(service.address) as channel:
        flood = [LocationServiceStub(channel).ListLocations.future(ListLocationsRequest()) for _ in range(FLOOD)]
        health: Any = HealthStub(channel)  # its types lack `future`
        check = health.Check.future(HealthCheckRequest())  # behind them, on the same connection
        await asyncio.to_thread(check.result, 60)
        answered = sum(call.done() for call in flood)
        for call in flood:
            call.cancel()
    assert answered < FLOOD / 2
