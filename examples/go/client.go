// A client in Go: lists pages, retries a create safely, reads an error, follows a chart through a server restart.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/health" // without this import, gRPC ignores healthCheckConfig
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	sprocketv1 "sprocket.internal/sprocket/v1"
)

const (
	callTimeout   = 5 * time.Second
	followTimeout = 60 * time.Second
	attempts      = 5
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

// run goes through the steps of the example, and prints a line about each.
func run() error {
	// Tells gRPC which calls to retry, and to send none to a server that is not SERVING.
	config, err := os.ReadFile("../../sprocket/v1/service_config.json")
	if err != nil {
		return err
	}
	server := environment("SPROCKET_CLIENT_SERVER", "127.0.0.1:50051")
	reconnect := grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
		MinConnectTimeout: callTimeout,
	}
	connection, err := grpc.Dial(server, grpc.WithInsecure(), grpc.WithConnectParams(reconnect),
		grpc.WithDefaultServiceConfig(string(config)))
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx := context.Background()
	if key := os.Getenv("SPROCKET_CLIENT_API_KEY"); key != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key)
	}
	if err := listSprockets(ctx, sprocketv1.NewSprocketServiceClient(connection)); err != nil {
		return err
	}
	locations := sprocketv1.NewLocationServiceClient(connection)
	factories := sprocketv1.NewFactoryServiceClient(connection)
	factory, err := createFactory(ctx, locations, factories)
	if err != nil {
		return err
	}
	defer deleteFactory(ctx, factories, factory.Id)
	if err := showRefusal(ctx, locations); err != nil {
		return err
	}
	return followUntilChanged(ctx, factories, factory)
}

// listSprockets reads all sprockets, page by page.
func listSprockets(ctx context.Context, sprockets sprocketv1.SprocketServiceClient) error {
	request := &sprocketv1.ListSprocketsRequest{PageSize: 40}
	for count, pages := 0, 1; ; pages++ {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		response, err := sprockets.ListSprockets(call, request)
		cancel()
		if err != nil {
			return err
		}
		count += len(response.Sprockets)
		if request.PageToken = response.NextPageToken; request.PageToken == "" {
			fmt.Printf("listed %d sprockets on %d pages\n", count, pages)
			return nil
		}
	}
}

// createFactory creates exactly one factory, with as many attempts as it takes.
func createFactory(ctx context.Context, locations sprocketv1.LocationServiceClient, factories sprocketv1.FactoryServiceClient) (*sprocketv1.Factory, error) {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	found, err := locations.ListLocations(call, &sprocketv1.ListLocationsRequest{PageSize: 1})
	if err != nil {
		return nil, err
	}
	request := &sprocketv1.CreateFactoryRequest{
		Factory: &sprocketv1.Factory{DisplayName: "Example", LocationId: found.Locations[0].Id, SprocketProductionGoal: 10},
		// All attempts have the same id, so the server treats them as one request.
		RequestId: uuid.NewString(),
	}
	created, err := attemptCreate(ctx, factories, request)
	if err != nil {
		return nil, err
	}
	again, err := attemptCreate(ctx, factories, request) // as if the first response had been lost
	if err != nil {
		return nil, err
	}
	fmt.Printf("created factory %s; a retry with the same request_id returned %s\n", created.Id, again.Id)
	return created, nil
}

// attemptCreate retries while the server is unavailable; without a request id this could create duplicates.
func attemptCreate(ctx context.Context, factories sprocketv1.FactoryServiceClient, request *sprocketv1.CreateFactoryRequest) (*sprocketv1.Factory, error) {
	for attempt := 1; ; attempt++ {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		response, err := factories.CreateFactory(call, request)
		cancel()
		if code := status.Code(err); attempt == attempts || code != codes.Unavailable && code != codes.DeadlineExceeded {
			return response.GetFactory(), err
		}
		time.Sleep(100 * time.Millisecond << attempt)
	}
}

func deleteFactory(ctx context.Context, factories sprocketv1.FactoryServiceClient, id string) {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if _, err := factories.DeleteFactory(call, &sprocketv1.DeleteFactoryRequest{Id: id, RequestId: uuid.NewString()}); err != nil {
		log.Print(err)
	}
}

// showRefusal sends an invalid request, and prints the reason of the refusal: from the details of the error, not its text.
func showRefusal(ctx context.Context, locations sprocketv1.LocationServiceClient) error {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	invalid := &sprocketv1.Location{DisplayName: " ", Address: "1 Main St", City: "Springfield", PostalCode: "1", CountryCode: "USA"}
	_, err := locations.CreateLocation(call, &sprocketv1.CreateLocationRequest{Location: invalid})
	var reason string
	var fields []string
	for _, detail := range status.Convert(err).Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			reason = detail.Reason
		case *errdetails.BadRequest:
			for _, violation := range detail.FieldViolations {
				fields = append(fields, violation.Field)
			}
		}
	}
	if reason == "" {
		return fmt.Errorf("expected an error with ErrorInfo, got: %v", err)
	}
	fmt.Printf("refused: %s: %s\n", reason, strings.Join(fields, ", "))
	return nil
}

// followUntilChanged follows the chart of a factory until its goal changes, across restarts of the server.
func followUntilChanged(ctx context.Context, factories sprocketv1.FactoryServiceClient, factory *sprocketv1.Factory) error {
	ctx, cancel := context.WithTimeout(ctx, followTimeout)
	defer cancel()
	fmt.Printf("following factory %s\n", factory.Id)
	request := &sprocketv1.GetFactoryChartRequest{FactoryId: factory.Id, Follow: true}
	for {
		changed, err := readChart(ctx, factories, request, factory.SprocketProductionGoal)
		if changed {
			return nil
		}
		if status.Code(err) != codes.Unavailable {
			return err
		}
		fmt.Println("the stream broke; resuming after the last response")
		time.Sleep(time.Second)
	}
}

// readChart reads one stream, and leaves the resume token for the next one in the request.
func readChart(ctx context.Context, factories sprocketv1.FactoryServiceClient, request *sprocketv1.GetFactoryChartRequest, goal int64) (bool, error) {
	ctx, cancel := context.WithCancel(ctx) // ends the stream on return
	defer cancel()
	stream, err := factories.GetFactoryChart(ctx, request)
	if err != nil {
		return false, err
	}
	for {
		response, err := stream.Recv()
		if err != nil {
			return false, err
		}
		for index, each := range response.Chart.GetSprocketProductionGoal() {
			fmt.Printf("goal %d, actual %d\n", each, response.Chart.SprocketProductionActual[index])
			if each != goal {
				return true, nil
			}
		}
		request.ResumeToken = response.ResumeToken
	}
}

func environment(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}
