# A client in Ruby: lists pages, retries a create safely, reads an error, follows a chart through a server restart.

$LOAD_PATH.unshift(File.expand_path('build', __dir__))
$stdout.sync = true

require 'securerandom'
require 'grpc'
require 'google/protobuf/well_known_types'
require 'google/rpc/error_details_pb'
require 'google/rpc/status_pb'
require 'sprocket/v1/factory_services_pb'
require 'sprocket/v1/location_services_pb'
require 'sprocket/v1/sprocket_services_pb'

V1 = Sprocket::V1

# Calls methods with a deadline and, if set, the API key.
class Client
  CALL_SECONDS = 5
  FOLLOW_SECONDS = 60
  ATTEMPTS = 5
  # Tells gRPC which calls to retry, and to send none to a server that is not SERVING.
  CONFIG = File.read(File.expand_path('../../sprocket/v1/service_config.json', __dir__))
  RECONNECT = { 'grpc.initial_reconnect_backoff_ms' => 100, 'grpc.max_reconnect_backoff_ms' => 2000 }.freeze
  ARGUMENTS = { 'grpc.service_config' => CONFIG, **RECONNECT }.freeze

  def initialize(server, key)
    @metadata = key ? { 'authorization' => "Bearer #{key}" } : {}
    channel = GRPC::Core::Channel.new(server, ARGUMENTS, :this_channel_is_insecure)
    @sprockets, @locations, @factories = [V1::SprocketService, V1::LocationService, V1::FactoryService].map do |service|
      service::Stub.new(server, :this_channel_is_insecure, channel_override: channel)
    end
  end

  # Runs the steps of the example, and prints a line about each.
  def run
    pages = list_sprockets.to_a
    puts "listed #{pages.sum(&:size)} sprockets on #{pages.size} pages"
    location = @locations.list_locations(V1::ListLocationsRequest.new(page_size: 1), **call).locations.first
    factory = create_factory(location.id)
    begin
      puts "refused: #{refusal}"
      follow_until_changed(factory)
    ensure
      @factories.delete_factory(V1::DeleteFactoryRequest.new(id: factory.id, request_id: SecureRandom.uuid), **call)
    end
  end

  private

  # The options of every call.
  def call(deadline = Time.now + CALL_SECONDS)
    { deadline: deadline, metadata: @metadata }
  end

  # Yields all sprockets, page by page.
  def list_sprockets
    Enumerator.new do |pages|
      token = ''
      loop do
        response = @sprockets.list_sprockets(V1::ListSprocketsRequest.new(page_size: 40, page_token: token), **call)
        pages << response.sprockets.to_a
        token = response.next_page_token
        break if token.empty?
      end
    end
  end

  # Creates exactly one factory, with as many attempts as it takes.
  def create_factory(location_id)
    factory = V1::Factory.new(display_name: 'Example', location_id: location_id, sprocket_production_goal: 10)
    # All attempts have the same id, so the server treats them as one request.
    request = V1::CreateFactoryRequest.new(factory: factory, request_id: SecureRandom.uuid)
    created = attempt_create(request)
    again = attempt_create(request) # as if the first response had been lost
    puts "created factory #{created.id}; a retry with the same request_id returned #{again.id}"
    created
  end

  # Retries while the server is unavailable; without a request_id this could create duplicates.
  def attempt_create(request)
    attempt = 0
    begin
      @factories.create_factory(request, **call).factory
    rescue GRPC::Unavailable, GRPC::DeadlineExceeded
      raise if (attempt += 1) == ATTEMPTS

      sleep(0.1 * 2**attempt)
      retry
    end
  end

  # Sends an invalid request, and returns the reason of the refusal: from the details of the error, not its text.
  def refusal
    invalid = V1::Location.new(display_name: ' ', address: '1 Main St', city: 'Springfield', postal_code: '1',
                             country_code: 'USA')
    @locations.create_location(V1::CreateLocationRequest.new(location: invalid), **call)
    raise 'the server accepted an invalid location'
  rescue GRPC::InvalidArgument => e
    details = e.to_rpc_status.details
    info = details.map { |detail| detail.unpack(Google::Rpc::ErrorInfo) }.compact.first
    request = details.map { |detail| detail.unpack(Google::Rpc::BadRequest) }.compact.first
    "#{info.reason}: #{request.field_violations.map(&:field).join(', ')}"
  end

  # Follows the chart of a factory until its goal changes, and prints every entry.
  def follow_until_changed(factory)
    follow(factory.id) do |response|
      next unless response.chart

      response.chart.sprocket_production_goal.zip(response.chart.sprocket_production_actual) do |goal, actual|
        puts "goal #{goal}, actual #{actual}"
        return if goal != factory.sprocket_production_goal
      end
    end
  end

  # Yields every response of a chart's stream once, across restarts of the server.
  def follow(factory_id)
    request = V1::GetFactoryChartRequest.new(factory_id: factory_id, follow: true)
    deadline = Time.now + FOLLOW_SECONDS
    puts "following factory #{factory_id}"
    begin
      @factories.get_factory_chart(request, **call(deadline)).each do |response|
        yield response
        request.resume_token = response.resume_token
      end
    rescue GRPC::Unavailable
      puts 'the stream broke; resuming after the last response'
      sleep 1
      retry
    end
  end
end

Client.new(ENV.fetch('SPROCKET_CLIENT_SERVER', '127.0.0.1:50051'), ENV['SPROCKET_CLIENT_API_KEY']).run
