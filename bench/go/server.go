// The bare peer in Go: grpc-go and pgx, with no more than two calls need, like bench/bare.py.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"time"

	"github.com/golang/protobuf/ptypes"
	"github.com/jackc/pgx/v4/pgxpool"
	"google.golang.org/grpc"

	pb "sprocket.internal/sprocket/v1"
)

const get = `
	SELECT CAST(id AS text), create_time, update_time, display_name, CAST(location_id AS text),
		sprocket_production_goal, sprocket_production_actual
	FROM factory WHERE id = CAST(CAST($1 AS text) AS uuid)`

type factories struct {
	pb.UnimplementedFactoryServiceServer
	pool *pgxpool.Pool
}

type sprockets struct {
	pb.UnimplementedSprocketServiceServer
	pool   *pgxpool.Pool
	create string
}

func (s *factories) GetFactory(ctx context.Context, request *pb.GetFactoryRequest) (*pb.GetFactoryResponse, error) {
	factory := &pb.Factory{}
	var created, updated time.Time
	err := s.pool.QueryRow(ctx, get, request.Id).Scan(
		&factory.Id, &created, &updated, &factory.DisplayName, &factory.LocationId,
		&factory.SprocketProductionGoal, &factory.SprocketProductionActual)
	if err != nil {
		return nil, err
	}
	factory.CreateTime, _ = ptypes.TimestampProto(created)
	factory.UpdateTime, _ = ptypes.TimestampProto(updated)
	factory.Etag = etag(updated)
	return &pb.GetFactoryResponse{Factory: factory}, nil
}

func (s *sprockets) CreateSprocket(
	ctx context.Context, request *pb.CreateSprocketRequest,
) (*pb.CreateSprocketResponse, error) {
	sprocket := request.Sprocket
	var created, updated time.Time
	err := s.pool.QueryRow(ctx, s.create, sprocket.FactoryId, sprocket.SprocketTypeId, sprocket.DisplayName).Scan(
		&sprocket.Id, &created, &updated)
	if err != nil {
		return nil, err
	}
	sprocket.CreateTime, _ = ptypes.TimestampProto(created)
	sprocket.UpdateTime, _ = ptypes.TimestampProto(updated)
	sprocket.Etag = etag(updated)
	return &pb.CreateSprocketResponse{Sprocket: sprocket}, nil
}

func etag(updated time.Time) string {
	return fmt.Sprintf("\"%d\"", updated.UnixNano()/1000)
}

// The arguments are a connection string with pool_max_conns, and the statement that creates a sprocket.
func main() {
	pool, err := pgxpool.Connect(context.Background(), os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	pb.RegisterFactoryServiceServer(server, &factories{pool: pool})
	pb.RegisterSprocketServiceServer(server, &sprockets{pool: pool, create: os.Args[2]})
	fmt.Printf("the Go peer listens on %s, with the same database\n", listener.Addr())
	log.Fatal(server.Serve(listener))
}
