// Load on a gRPC server: requests are serialised beforehand, answers of a stream are looked into.
//
// Synchronous calls, one thread for each request under way: the kernel wakes the thread that waits
// and nothing else runs, so the client takes the least of the two cores it shares with the server.

#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/client_unary_call.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/impl/codegen/sync_stream.h>

#include <chrono>
#include <cstdio>
#include <mutex>

#include "inspection_v1.pb.h"
#include "load.h"

namespace {

using grpc::ByteBuffer;
using inspection::v1::Answer;
using inspection::v1::Frame;

ByteBuffer buffer_of(const std::string& bytes) {
  grpc::Slice slice(bytes);
  return ByteBuffer(&slice, 1);
}

Frame frame_of(const load::Options& options, const std::string& content, int client) {
  Frame frame;
  if (options.shape.empty()) {
    frame.set_encoded(content);
  } else {
    auto* raw = frame.mutable_raw();
    raw->set_data(content);
    raw->set_dtype("uint8");
    for (int length : options.shape) raw->add_shape(length);
  }
  frame.set_camera(load::of_client(options.cameras, client, std::string()));
  const auto* line = Frame::descriptor()->FindFieldByName("line");
  if (line && !options.line.empty())
    Frame::GetReflection()->SetString(&frame, line, options.line);
  return frame;
}

// The requests of one client; those of clients with the same camera are the same bytes.
std::vector<ByteBuffer> requests_of(const load::Options& options, int client) {
  std::vector<ByteBuffer> requests;
  const auto& folder = options.frames.empty() ? options.requests : options.frames;
  for (const auto& content : load::read_folder(folder))
    requests.push_back(buffer_of(options.frames.empty()
                                     ? content
                                     : frame_of(options, content, client).SerializeAsString()));
  return requests;
}

void complain_once(const grpc::Status& status) {
  static std::once_flag told;
  std::call_once(told, [&] {
    fprintf(stderr, "first error: %d %s\n", status.error_code(), status.error_message().c_str());
  });
}

class Base : public load::Caller {
 public:
  Base(const load::Options& options, std::shared_ptr<grpc::Channel> channel,
       std::shared_ptr<std::vector<ByteBuffer>> requests)
      : options_(options), channel_(std::move(channel)), requests_(std::move(requests)) {}

 protected:
  void prepare(grpc::ClientContext& context) {
    for (const auto& header : options_.headers) {
      auto colon = header.find(':');
      context.AddMetadata(header.substr(0, colon), header.substr(colon + 1));
    }
  }
  const ByteBuffer& request(size_t number) const { return (*requests_)[number % requests_->size()]; }

  const load::Options& options_;
  std::shared_ptr<grpc::Channel> channel_;
  std::shared_ptr<std::vector<ByteBuffer>> requests_;
};

class Unary : public Base {
 public:
  using Base::Base;
  bool ask(size_t number) override {
    grpc::ClientContext context;
    prepare(context);
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::milliseconds(static_cast<long>(options_.timeout * 1000)));
    ByteBuffer answer;
    grpc::Status status = grpc::internal::BlockingUnaryCall<ByteBuffer, ByteBuffer>(
        channel_.get(), method_, &context, request(number), &answer);
    if (!status.ok()) complain_once(status);
    return status.ok();
  }

 private:
  grpc::internal::RpcMethod method_{options_.method.c_str(),
                                    grpc::internal::RpcMethod::NORMAL_RPC};
};

class Stream : public Base {
 public:
  Stream(const load::Options& options, std::shared_ptr<grpc::Channel> channel,
         std::shared_ptr<std::vector<ByteBuffer>> requests)
      : Base(options, std::move(channel), std::move(requests)) {
    prepare(context_);
    stream_.reset(grpc::internal::ClientReaderWriterFactory<ByteBuffer, ByteBuffer>::Create(
        channel_.get(), method_, &context_));
  }
  ~Stream() override {
    stream_->WritesDone();
    stream_->Finish();
  }
  bool ask(size_t number) override {
    ByteBuffer bytes;
    if (!stream_->Write(request(number)) || !stream_->Read(&bytes)) {
      context_.TryCancel();
      return false;
    }
    if (options_.frames.empty()) return true;  // another protocol's answer
    Answer answer;
    grpc::ProtoBufferReader reader(&bytes);
    return answer.ParseFromZeroCopyStream(&reader) && answer.has_result();
  }

 private:
  grpc::internal::RpcMethod method_{options_.method.c_str(),
                                    grpc::internal::RpcMethod::BIDI_STREAMING};
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<ByteBuffer, ByteBuffer>> stream_;
};

class Grpc : public load::Transport {
 public:
  explicit Grpc(const load::Options& options) : options_(options) {
    int count = options.channels > 0 ? options.channels : options.clients;
    for (int i = 0; i < count; i++) channels_.push_back(connect());
    for (int client = 0; client < options.clients; client++) {
      int same = options.cameras.empty() ? 0 : client % static_cast<int>(options.cameras.size());
      requests_.push_back(same < client ? requests_[same]
                                        : std::make_shared<std::vector<ByteBuffer>>(
                                              requests_of(options, client)));
    }
  }

  std::unique_ptr<load::Caller> open(int client) override {
    auto channel = channels_[client % channels_.size()];
    if (options_.is_stream) return std::make_unique<Stream>(options_, channel, requests_[client]);
    return std::make_unique<Unary>(options_, channel, requests_[client]);
  }

 private:
  std::shared_ptr<grpc::Channel> connect() {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection of its own
    arguments.SetMaxReceiveMessageSize(-1);
    auto channel = grpc::CreateCustomChannel(options_.address, grpc::InsecureChannelCredentials(),
                                             arguments);
    auto deadline = std::chrono::system_clock::now() + std::chrono::seconds(10);
    if (!channel->WaitForConnected(deadline)) {
      fprintf(stderr, "load client: nobody answers at %s\n", options_.address.c_str());
      exit(1);
    }
    return channel;
  }

  const load::Options& options_;
  std::vector<std::shared_ptr<grpc::Channel>> channels_;
  std::vector<std::shared_ptr<std::vector<ByteBuffer>>> requests_;
};

}  // namespace

int main(int argc, char** argv) {
  load::Options options = load::parse(argc, argv);
  Grpc transport(options);
  return load::run(options, transport);
}
