import com.google.gson.Gson;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import internal.sprocket.v1.CreateFactoryRequest;
import internal.sprocket.v1.CreateLocationRequest;
import internal.sprocket.v1.DeleteFactoryRequest;
import internal.sprocket.v1.Factory;
import internal.sprocket.v1.FactoryChart;
import internal.sprocket.v1.FactoryServiceGrpc;
import internal.sprocket.v1.FactoryServiceGrpc.FactoryServiceBlockingStub;
import internal.sprocket.v1.GetFactoryChartRequest;
import internal.sprocket.v1.ListLocationsRequest;
import internal.sprocket.v1.ListSprocketsRequest;
import internal.sprocket.v1.Location;
import internal.sprocket.v1.LocationServiceGrpc;
import internal.sprocket.v1.LocationServiceGrpc.LocationServiceBlockingStub;
import internal.sprocket.v1.SprocketServiceGrpc;
import internal.sprocket.v1.SprocketServiceGrpc.SprocketServiceBlockingStub;
import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.Context;
import io.grpc.Deadline;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.AbstractStub;
import io.grpc.stub.MetadataUtils;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.TimeUnit;

/** A client in Java: lists pages, retries a create safely, reads an error, follows a chart through a server restart. */
public final class Client {
  private static final int CALL_SECONDS = 5;
  private static final int FOLLOW_SECONDS = 60;
  private static final int ATTEMPTS = 5;

  private final FactoryServiceBlockingStub factories;
  private final LocationServiceBlockingStub locations;
  private final SprocketServiceBlockingStub sprockets;

  private Client(Channel channel) {
    factories = FactoryServiceGrpc.newBlockingStub(channel);
    locations = LocationServiceGrpc.newBlockingStub(channel);
    sprockets = SprocketServiceGrpc.newBlockingStub(channel);
  }

  public static void main(String[] arguments) throws Exception {
    var environment = System.getenv();
    var channel = open(environment.getOrDefault("SPROCKET_CLIENT_SERVER", "127.0.0.1:50051"));
    try {
      var headers = new Metadata();
      if (environment.containsKey("SPROCKET_CLIENT_API_KEY")) {
        var key = Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
        headers.put(key, "Bearer " + environment.get("SPROCKET_CLIENT_API_KEY"));
      }
      new Client(ClientInterceptors.intercept(channel, MetadataUtils.newAttachHeadersInterceptor(headers))).run();
    } finally {
      channel.shutdownNow().awaitTermination(CALL_SECONDS, TimeUnit.SECONDS);
    }
  }

  /** Opens a channel with the policy that tells gRPC which calls to retry. */
  @SuppressWarnings("unchecked") // JSON is a map of texts, numbers, lists and maps, which is what gRPC expects
  private static ManagedChannel open(String server) throws IOException {
    var config = Files.readString(Path.of("../../sprocket/v1/service_config.json"));
    return NettyChannelBuilder.forTarget(server)
        .usePlaintext()
        .enableRetry()
        .defaultServiceConfig((Map<String, ?>) new Gson().fromJson(config, Map.class))
        .build();
  }

  /** Goes through the steps of the example, and prints a line about each. */
  private void run() throws InterruptedException, InvalidProtocolBufferException {
    listSprockets();
    var first = call(locations).listLocations(ListLocationsRequest.newBuilder().setPageSize(1).build());
    var factory = createFactory(first.getLocations(0).getId());
    try {
      System.out.println("refused: " + refusal());
      followUntilChanged(factory);
    } finally {
      var request = DeleteFactoryRequest.newBuilder().setId(factory.getId());
      call(factories).deleteFactory(request.setRequestId(UUID.randomUUID().toString()).build());
    }
  }

  /** Returns a stub whose next call has a deadline. */
  private static <S extends AbstractStub<S>> S call(S stub) {
    return stub.withDeadlineAfter(CALL_SECONDS, TimeUnit.SECONDS);
  }

  /** Reads all sprockets, page by page. */
  private void listSprockets() {
    var request = ListSprocketsRequest.newBuilder().setPageSize(40);
    int count = 0;
    int pages = 0;
    do {
      var response = call(sprockets).listSprockets(request.build());
      count += response.getSprocketsCount();
      pages++;
      request.setPageToken(response.getNextPageToken());
    } while (!request.getPageToken().isEmpty());
    System.out.printf("listed %d sprockets on %d pages%n", count, pages);
  }

  /** Creates exactly one factory, with as many attempts as it takes. */
  private Factory createFactory(String locationId) throws InterruptedException {
    var factory =
        Factory.newBuilder().setDisplayName("Example").setLocationId(locationId).setSprocketProductionGoal(10);
    // All attempts have the same id, so the server treats them as one request.
    var requestId = UUID.randomUUID().toString();
    var request = CreateFactoryRequest.newBuilder().setFactory(factory).setRequestId(requestId).build();
    var created = attemptCreate(request);
    var again = attemptCreate(request); // as if the first response had been lost
    System.out.printf(
        "created factory %s; a retry with the same request_id returned %s%n", created.getId(), again.getId());
    return created;
  }

  /** Retries while the server is unavailable; without a request_id this could create duplicates. */
  private Factory attemptCreate(CreateFactoryRequest request) throws InterruptedException {
    for (int attempt = 1; ; attempt++) {
      try {
        return call(factories).createFactory(request).getFactory();
      } catch (StatusRuntimeException error) {
        var code = error.getStatus().getCode();
        if (attempt == ATTEMPTS || code != Status.Code.UNAVAILABLE && code != Status.Code.DEADLINE_EXCEEDED) {
          throw error;
        }
      }
      Thread.sleep(100L << attempt);
    }
  }

  /** Sends an invalid request, and returns the reason of the refusal: from the details of the error, not its text. */
  private String refusal() throws InvalidProtocolBufferException {
    var invalid = Location.newBuilder().setDisplayName(" ").setAddress("1 Main St").setCity("Springfield");
    invalid.setPostalCode("1").setCountryCode("USA");
    try {
      call(locations).createLocation(CreateLocationRequest.newBuilder().setLocation(invalid).build());
    } catch (StatusRuntimeException error) {
      var reason = "";
      var fields = new ArrayList<String>();
      for (var detail : StatusProto.fromThrowable(error).getDetailsList()) {
        if (detail.is(ErrorInfo.class)) {
          reason = detail.unpack(ErrorInfo.class).getReason();
        } else if (detail.is(BadRequest.class)) {
          detail.unpack(BadRequest.class).getFieldViolationsList().forEach(each -> fields.add(each.getField()));
        }
      }
      return reason + ": " + String.join(", ", fields);
    }
    throw new IllegalStateException("the server accepted an invalid location");
  }

  /** Follows the chart of a factory until its goal changes, across restarts of the server. */
  private void followUntilChanged(Factory factory) throws InterruptedException {
    System.out.println("following factory " + factory.getId());
    var request = GetFactoryChartRequest.newBuilder().setFactoryId(factory.getId()).setFollow(true);
    var deadline = Deadline.after(FOLLOW_SECONDS, TimeUnit.SECONDS);
    var stream = Context.current().withCancellation();
    try {
      while (!isChanged(stream, deadline, request, factory.getSprocketProductionGoal())) {
        System.out.println("the stream broke; resuming after the last response");
        Thread.sleep(1000);
      }
    } finally {
      stream.cancel(null); // ends the call, which otherwise lasts until its deadline
    }
  }

  /** Reads one stream until the goal changes, or until it breaks: then the request has the token to resume with. */
  private boolean isChanged(
      Context stream, Deadline deadline, GetFactoryChartRequest.Builder request, long goalBefore) {
    var before = stream.attach();
    try {
      var responses = factories.withDeadline(deadline).getFactoryChart(request.build());
      while (responses.hasNext()) {
        var response = responses.next();
        if (print(response.getChart(), goalBefore)) {
          return true;
        }
        request.setResumeToken(response.getResumeToken());
      }
    } catch (StatusRuntimeException error) {
      if (error.getStatus().getCode() != Status.Code.UNAVAILABLE) {
        throw error;
      }
    } finally {
      stream.detach(before);
    }
    return false;
  }

  /** Prints the entries of a chunk, and returns whether one of them has another goal. */
  private static boolean print(FactoryChart chart, long goalBefore) {
    for (int index = 0; index < chart.getSprocketProductionGoalCount(); index++) {
      long goal = chart.getSprocketProductionGoal(index);
      System.out.printf("goal %d, actual %d%n", goal, chart.getSprocketProductionActual(index));
      if (goal != goalBefore) {
        return true;
      }
    }
    return false;
  }
}
