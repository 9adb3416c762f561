// A client in C++: lists pages, retries a create safely, reads an error, follows a chart through a server restart.

#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <grpcpp/grpcpp.h>
#include <sprocket/v1/factory.grpc.pb.h>
#include <sprocket/v1/location.grpc.pb.h>
#include <sprocket/v1/sprocket.grpc.pb.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>

using namespace std::chrono_literals;
using sprocket::v1::FactoryService;
using sprocket::v1::LocationService;
using sprocket::v1::SprocketService;
using Clock = std::chrono::system_clock;

constexpr auto kCallTime = 5s;
constexpr auto kFollowTime = 60s;
constexpr int kAttempts = 5;

std::string Environment(const char* name, const std::string& fallback) {
  const char* value = std::getenv(name);
  return value ? value : fallback;
}

// The context of a call: its deadline and, if set, the API key.
struct Context : grpc::ClientContext {
  explicit Context(Clock::time_point deadline = Clock::now() + kCallTime) {
    set_deadline(deadline);
    if (const auto key = Environment("SPROCKET_CLIENT_API_KEY", ""); !key.empty()) {
      AddMetadata("authorization", "Bearer " + key);
    }
  }
};

void Check(const grpc::Status& status) {
  if (!status.ok()) throw std::runtime_error(status.error_message());
}

// Returns a UUID (version 4). In your own program, use a library.
std::string NewId() {
  std::random_device random;
  std::ostringstream id;
  for (int index = 0; index < 16; ++index) {
    unsigned byte = random() & 0xff;
    if (index == 6) byte = (byte & 0x0f) | 0x40;
    if (index == 8) byte = (byte & 0x3f) | 0x80;
    if (index == 4 || index == 6 || index == 8 || index == 10) id << '-';
    id << std::hex << (byte >> 4) << (byte & 0xf);
  }
  return id.str();
}

// Reads all sprockets, page by page.
void ListSprockets(SprocketService::Stub& sprockets) {
  sprocket::v1::ListSprocketsRequest request;
  request.set_page_size(40);
  int count = 0, pages = 0;
  do {
    Context context;
    sprocket::v1::ListSprocketsResponse response;
    Check(sprockets.ListSprockets(&context, request, &response));
    count += response.sprockets_size();
    ++pages;
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  std::cout << "listed " << count << " sprockets on " << pages << " pages" << std::endl;
}

// Retries while the server is unavailable; without a request id this could create duplicates.
sprocket::v1::Factory AttemptCreate(FactoryService::Stub& factories,
                                    const sprocket::v1::CreateFactoryRequest& request) {
  for (int attempt = 1;; ++attempt) {
    Context context;
    sprocket::v1::CreateFactoryResponse response;
    const auto status = factories.CreateFactory(&context, request, &response);
    const bool transient = status.error_code() == grpc::StatusCode::UNAVAILABLE ||
                         status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
    if (!transient || attempt == kAttempts) {
      Check(status);
      return response.factory();
    }
    std::this_thread::sleep_for(100ms * (1 << attempt));
  }
}

// Creates exactly one factory, with as many attempts as it takes.
sprocket::v1::Factory CreateFactory(LocationService::Stub& locations, FactoryService::Stub& factories) {
  Context context;
  sprocket::v1::ListLocationsRequest list;
  list.set_page_size(1);
  sprocket::v1::ListLocationsResponse found;
  Check(locations.ListLocations(&context, list, &found));

  sprocket::v1::CreateFactoryRequest request;
  request.mutable_factory()->set_display_name("Example");
  request.mutable_factory()->set_location_id(found.locations(0).id());
  request.mutable_factory()->set_sprocket_production_goal(10);
  request.set_request_id(NewId());  // the same for all attempts, so the server treats them as one request
  const auto created = AttemptCreate(factories, request);
  const auto again = AttemptCreate(factories, request);  // as if the first response had been lost
  std::cout << "created factory " << created.id() << "; a retry with the same request_id returned " << again.id()
            << std::endl;
  return created;
}

// Sends an invalid request, and prints the reason of the refusal: from the details of the error, not its text.
void ShowRefusal(LocationService::Stub& locations) {
  Context context;
  sprocket::v1::CreateLocationRequest request;
  auto& invalid = *request.mutable_location();
  invalid.set_display_name(" ");
  invalid.set_address("1 Main St");
  invalid.set_city("Springfield");
  invalid.set_postal_code("1");
  invalid.set_country_code("USA");
  sprocket::v1::CreateLocationResponse response;
  google::rpc::Status status;
  status.ParseFromString(locations.CreateLocation(&context, request, &response).error_details());
  google::rpc::ErrorInfo info;
  google::rpc::BadRequest bad_request;
  for (const auto& detail : status.details()) {
    detail.UnpackTo(&info) || detail.UnpackTo(&bad_request);
  }
  if (info.reason().empty()) throw std::runtime_error("the server accepted an invalid location");
  std::string fields;
  for (const auto& violation : bad_request.field_violations()) {
    fields += (fields.empty() ? "" : ", ") + violation.field();
  }
  std::cout << "refused: " << info.reason() << ": " << fields << std::endl;
}

// Passes every chart in the stream to `is_last` once, across restarts of the server, until it returns true.
void Follow(FactoryService::Stub& factories, const std::string& factory_id,
            const std::function<bool(const sprocket::v1::FactoryChart&)>& is_last) {
  sprocket::v1::GetFactoryChartRequest request;
  request.set_factory_id(factory_id);
  request.set_follow(true);
  const auto deadline = Clock::now() + kFollowTime;
  std::cout << "following factory " << factory_id << std::endl;
  while (true) {
    Context context(deadline);
    const auto stream = factories.GetFactoryChart(&context, request);
    for (sprocket::v1::GetFactoryChartResponse response; stream->Read(&response);) {
      if (is_last(response.chart())) return context.TryCancel();
      request.set_resume_token(response.resume_token());
    }
    const auto status = stream->Finish();
    if (status.error_code() != grpc::StatusCode::UNAVAILABLE) return Check(status);
    std::cout << "the stream broke; resuming after the last response" << std::endl;
    std::this_thread::sleep_for(1s);
  }
}

// Follows the chart of a factory until its goal changes, and prints every entry.
void FollowUntilChanged(FactoryService::Stub& factories, const sprocket::v1::Factory& factory) {
  Follow(factories, factory.id(), [&](const sprocket::v1::FactoryChart& chart) {
    for (int index = 0; index < chart.sprocket_production_goal_size(); ++index) {
      const auto goal = chart.sprocket_production_goal(index);
      std::cout << "goal " << goal << ", actual " << chart.sprocket_production_actual(index) << std::endl;
      if (goal != factory.sprocket_production_goal()) return true;
    }
    return false;
  });
}

void DeleteFactory(FactoryService::Stub& factories, const std::string& id) {
  Context context;
  sprocket::v1::DeleteFactoryRequest request;
  request.set_id(id);
  request.set_request_id(NewId());
  sprocket::v1::DeleteFactoryResponse response;
  Check(factories.DeleteFactory(&context, request, &response));
}

int main() try {
  // Tells gRPC which calls to retry, and to send none to a server that is not SERVING.
  std::stringstream config;
  config << std::ifstream("../../sprocket/v1/service_config.json").rdbuf();
  grpc::ChannelArguments arguments;
  arguments.SetServiceConfigJSON(config.str());
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  const auto channel = grpc::CreateCustomChannel(Environment("SPROCKET_CLIENT_SERVER", "127.0.0.1:50051"),
                                                 grpc::InsecureChannelCredentials(), arguments);
  const auto sprockets = SprocketService::NewStub(channel);
  const auto locations = LocationService::NewStub(channel);
  const auto factories = FactoryService::NewStub(channel);
  ListSprockets(*sprockets);
  const auto factory = CreateFactory(*locations, *factories);
  try {
    ShowRefusal(*locations);
    FollowUntilChanged(*factories, factory);
  } catch (...) {
    DeleteFactory(*factories, factory.id());
    throw;
  }
  DeleteFactory(*factories, factory.id());
} catch (const std::exception& error) {
  std::cerr << error.what() << std::endl;
  return EXIT_FAILURE;
}
