// Predicts with the tasks of a bundle, by LiteRT's C++ API.
//
// The signature `select` of a bundle takes the number of a task and puts out
// the bytes of a .tflite file: the task's network. README.md tells how to build
// this.

#include <algorithm>
#include <cstring>
#include <iomanip>
#include <iostream>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "litert/cc/litert_compiled_model.h"
#include "litert/cc/litert_environment.h"
#include "litert/cc/litert_model.h"
#include "nlohmann/json.hpp"

template <typename T>
T Checked(litert::Expected<T> result) {
  if (!result) throw std::runtime_error(result.Error().Message());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

class TaskRunner {
 public:
  explicit TaskRunner(const std::string& path) : bundle_(Compile(path)) {
    auto model = Checked(litert::Model::CreateFromFile(environment_, path));
    auto text = Checked(model.Metadata("TSN_KERAS_BUNDLE"));
    tasks_ = nlohmann::json::parse(text.begin(), text.end()).at("tasks");
  }

  std::vector<std::string> tasks() const {
    std::vector<std::string> names;
    for (const auto& task : tasks_) names.push_back(task.at("name"));
    return names;
  }

  // Puts a task to work.
  void Select(const std::string& name) {
    const std::vector<std::string> names = tasks();
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end())
      throw std::invalid_argument("Unknown task " + name + ". The bundle has " +
                                  nlohmann::json(names).dump());
    selected_ = found - names.begin();
    network_.reset();  // It reads the bytes.
    bytes_ = Run<int32_t, char>(bundle_, {selected_});
    const auto* start = reinterpret_cast<const uint8_t*>(bytes_.data());
    network_ = Compile(litert::BufferRef<uint8_t>(start, bytes_.size()));
  }

  // Names of the selected task's classes; none if the bundle has none.
  std::vector<std::string> labels() const {
    const auto names = tasks_.at(selected_).find("class_names");
    if (names == tasks_.at(selected_).end() || names->is_null()) return {};
    return *names;
  }

  // Takes and returns one batch, row after row. It has as many examples as the
  // bundle was made for, which is one by default.
  std::vector<float> Predict(const std::vector<float>& x) {
    if (!network_) throw std::logic_error("No task is selected.");
    return Run<float, float>(*network_, x);
  }

 private:
  template <typename Source>
  litert::CompiledModel Compile(Source source) {
    return Checked(litert::CompiledModel::Create(environment_, source,
                                                 litert::HwAccelerators::kCpu));
  }

  template <typename In, typename Out>
  static std::vector<Out> Run(litert::CompiledModel& model,
                              const std::vector<In>& x) {
    auto inputs = Checked(model.CreateInputBuffers());
    auto outputs = Checked(model.CreateOutputBuffers());
    const size_t wanted = Checked(inputs[0].PackedSize()) / sizeof(In);
    if (x.size() != wanted)
      throw std::invalid_argument("x must have " + std::to_string(wanted) +
                                  " values, not " + std::to_string(x.size()));
    Checked(inputs[0].Write<In>(litert::Span<const In>(x.data(), x.size())));
    Checked(model.Run(inputs, outputs));
    std::vector<Out> y(Checked(outputs[0].PackedSize()) / sizeof(Out));
    Checked(outputs[0].Read<Out>(litert::Span<Out>(y.data(), y.size())));
    return y;
  }

  litert::Environment environment_ = Checked(litert::Environment::Create({}));
  litert::CompiledModel bundle_;
  std::vector<char> bytes_;
  std::optional<litert::CompiledModel> network_;
  nlohmann::json tasks_;
  int32_t selected_ = 0;
};

// `runner BUNDLE TASK` reads one batch of raw float32 values from standard
// input. It prints each output, with its label if there is one.
int main(int argc, char** argv) try {
  if (argc != 3) throw std::invalid_argument("runner BUNDLE TASK < X");
  TaskRunner runner(argv[1]);
  runner.Select(argv[2]);
  std::string bytes((std::istreambuf_iterator<char>(std::cin)), {});
  std::vector<float> x(bytes.size() / sizeof(float));
  std::memcpy(x.data(), bytes.data(), x.size() * sizeof(float));
  const std::vector<std::string> labels = runner.labels();
  size_t i = 0;
  for (float score : runner.Predict(x)) {
    std::cout << std::setprecision(9) << score;
    if (!labels.empty()) std::cout << " " << labels[i++ % labels.size()];
    std::cout << "\n";
  }
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
