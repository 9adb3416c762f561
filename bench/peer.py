"""The peer: the same reads in FastAPI and an ORM, the style that this service replaces.

`python -m bench.peer URL POOL_SIZE` uses a pydantic model for each response, a synchronous ORM session per request, and
one uvicorn worker with uvloop and httptools, on the same tables and with a pool of the same size. Its access log is on,
as it is in the service.
"""

import socket
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Query
from pydantic import BaseModel, ConfigDict
from sqlalchemy import create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker


class Base(DeclarativeBase):
    """The base class of the tables."""


class FactoryRow(Base):
    """A row of the table of factories."""

    __tablename__ = "factory"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    create_time: Mapped[datetime]
    update_time: Mapped[datetime]
    display_name: Mapped[str]
    location_id: Mapped[UUID]
    sprocket_production_goal: Mapped[int]
    sprocket_production_actual: Mapped[int]


class Factory(BaseModel):
    """A factory in a response."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    create_time: datetime
    update_time: datetime
    display_name: str
    location_id: UUID
    sprocket_production_goal: int
    sprocket_production_actual: int


def create_app(url: str, pool_size: int) -> FastAPI:
    """Create the application."""
    app = FastAPI()
    sessions = sessionmaker(create_engine(url, pool_size=pool_size, max_overflow=0))

    def open_session() -> Iterator[Session]:
        with sessions() as session:
            yield session

    @app.get("/factories/{identifier}", response_model=Factory)
    def get_factory(identifier: UUID, session: Annotated[Session, Depends(open_session)]) -> FactoryRow:
        row = session.get(FactoryRow, identifier)
        if row is None:
            raise HTTPException(404)
        return row

    @app.get("/factories", response_model=list[Factory])
    def list_factories(
        session: Annotated[Session, Depends(open_session)],
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        offset: Annotated[int, Query(ge=0)] = 0,
    ) -> Sequence[FactoryRow]:
        return session.scalars(select(FactoryRow).order_by(FactoryRow.id).limit(limit).offset(offset)).all()

    return app


def main(url: str, pool_size: str) -> None:
    """Serve on a free port."""
    listener = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(f"the peer listens on 127.0.0.1:{listener.getsockname()[1]}, with the same database\n")
    sys.stdout.flush()
    app = create_app(url, int(pool_size))
    # With the default of 5 s, a client at a low rate would find its connection closed.
    config = uvicorn.Config(app, loop="uvloop", http="httptools", timeout_keep_alive=60)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(*sys.argv[1:])
