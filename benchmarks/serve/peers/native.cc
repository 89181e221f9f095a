// A native gRPC server: libgrpc++, libjpeg-turbo, OpenCV's resize and ONNX Runtime's C API, one
// session for each core. ``native PORT GRAPH``.
//
// The wheel of ONNX Runtime carries its library but no headers, so the few functions that are needed
// are named here by their place in the table, which is fixed for ever: the API only grows at its end.

#include <grpcpp/grpcpp.h>
#include <turbojpeg.h>

#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <string>
#include <thread>
#include <vector>

#include "inspection_v1.grpc.pb.h"

extern "C" {
struct OrtApiBase {
  void* const* (*get_api)(uint32_t version);
  const char* (*version)();
};
const OrtApiBase* OrtGetApiBase();
}

namespace {

constexpr int kSide = 224, kChannels = 3;
constexpr uint32_t kApiVersion = 11;
enum Place {
  kGetErrorMessage = 2,
  kCreateEnv = 3,
  kCreateSession = 7,
  kRun = 9,
  kCreateSessionOptions = 10,
  kSetIntraOpNumThreads = 24,
  kSetInterOpNumThreads = 25,
  kCreateTensorWithData = 49,
  kGetTensorMutableData = 51,
  kCreateCpuMemoryInfo = 69,
  kReleaseValue = 96,
};

void* const* api() {
  static void* const* table = OrtGetApiBase()->get_api(kApiVersion);
  return table;
}

// Call a function of the table that gives a status; ends the process when it fails.
template <typename... Arguments>
void ort(Place place, Arguments... arguments) {
  void* status = reinterpret_cast<void* (*)(Arguments...)>(api()[place])(arguments...);
  if (!status) return;
  std::cerr << reinterpret_cast<const char* (*)(void*)>(api()[kGetErrorMessage])(status) << "\n";
  std::abort();
}

// An engine, its decoder and their buffers: used by one call at a time.
class Worker {
 public:
  explicit Worker(const std::string& graph) {
    static void* env = [] {
      void* made = nullptr;
      ort(kCreateEnv, 3, "native", &made);
      return made;
    }();
    void *options = nullptr, *memory = nullptr;
    ort(kCreateSessionOptions, &options);
    ort(kSetIntraOpNumThreads, options, 1);
    ort(kSetInterOpNumThreads, options, 1);
    ort(kCreateSession, env, graph.c_str(), options, &session_);
    ort(kCreateCpuMemoryInfo, 0, 0, &memory);
    input_.resize(kSide * kSide * kChannels);
    const int64_t shape[] = {1, kSide, kSide, kChannels};
    constexpr int kUint8 = 2;
    ort(kCreateTensorWithData, memory, static_cast<void*>(input_.data()), input_.size(), shape,
        size_t{4}, kUint8, &tensor_);
  }

  bool load(const std::string& encoded, const std::string& raw) {
    if (encoded.empty()) {
      if (raw.size() != input_.size()) return false;
      std::copy(raw.begin(), raw.end(), input_.begin());
      return true;
    }
    int width, height, sampling, colours;
    auto* bytes = reinterpret_cast<const unsigned char*>(encoded.data());
    if (tjDecompressHeader3(decoder_, bytes, encoded.size(), &width, &height, &sampling, &colours))
      return false;
    frame_.create(height, width, CV_8UC3);
    if (tjDecompress2(decoder_, bytes, encoded.size(), frame_.data, width, 0, height, TJPF_RGB, 0))
      return false;
    cv::Mat part = frame_;
    while (std::min(part.rows, part.cols) >= 2 * kSide) {
      cv::resize(part, half_, cv::Size(part.cols / 2, part.rows / 2), 0, 0, cv::INTER_AREA);
      part = half_;
    }
    part.convertTo(wide_, CV_32F);
    cv::resize(wide_, means_, cv::Size(kSide, kSide), 0, 0, cv::INTER_AREA);
    cv::convertScaleAbs(means_, cv::Mat(kSide, kSide, CV_8UC3, input_.data()));
    return true;
  }

  void judge(inspection::v1::Result* result) {
    const char* inputs[] = {"pixels"};
    const char* names[] = {"score", "class_scores", "embedding", "map"};
    void* outputs[4] = {};
    ort(kRun, session_, static_cast<void*>(nullptr), static_cast<const char* const*>(inputs),
        static_cast<void* const*>(&tensor_), size_t{1}, static_cast<const char* const*>(names),
        size_t{4}, static_cast<void**>(outputs));
    float *score = nullptr, *classes = nullptr;
    ort(kGetTensorMutableData, outputs[0], reinterpret_cast<void**>(&score));
    ort(kGetTensorMutableData, outputs[1], reinterpret_cast<void**>(&classes));
    result->set_score(*score);
    result->set_verdict(*score < 0.3 ? inspection::v1::PASS : inspection::v1::REJECT);
    for (int i = 0; i < 5; i++) result->add_class_scores()->set_score(classes[i]);
    for (void* output : outputs) reinterpret_cast<void (*)(void*)>(api()[kReleaseValue])(output);
  }

 private:
  void *session_ = nullptr, *tensor_ = nullptr;
  std::vector<uint8_t> input_;
  tjhandle decoder_ = tjInitDecompress();
  cv::Mat frame_, half_, wide_, means_;
};

class Service final : public inspection::v1::Inspection::Service {
 public:
  explicit Service(const std::string& graph) {
    for (unsigned i = 0; i < std::max(1u, std::thread::hardware_concurrency()); i++)
      free_.push_back(new Worker(graph));
  }

  grpc::Status Inspect(grpc::ServerContext*, const inspection::v1::Frame* frame,
                       inspection::v1::Answer* answer) override {
    Worker* worker = take();
    bool is_read = worker->load(frame->encoded(), frame->raw().data());
    if (is_read) worker->judge(answer->mutable_result());
    give_back(worker);
    answer->set_frame_id(frame->frame_id());
    return is_read ? grpc::Status::OK : grpc::Status(grpc::INVALID_ARGUMENT, "no frame");
  }

 private:
  Worker* take() {
    std::unique_lock lock(mutex_);
    is_free_.wait(lock, [&] { return !free_.empty(); });
    Worker* worker = free_.back();
    free_.pop_back();
    return worker;
  }
  void give_back(Worker* worker) {
    std::lock_guard lock(mutex_);
    free_.push_back(worker);
    is_free_.notify_one();
  }

  std::mutex mutex_;
  std::condition_variable is_free_;
  std::vector<Worker*> free_;
};

}  // namespace

int main(int, char** argv) {
  cv::setNumThreads(1);
  Service service(argv[2]);
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:" + std::string(argv[1]), grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  builder.BuildAndStart()->Wait();
}
