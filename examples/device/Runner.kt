// Predicts with the tasks of a bundle, on Android.
//
// The signature `select` of a bundle takes the number of a task and puts out
// the bytes of a .tflite file: the task's network. README.md tells what to add
// to the app.

import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.json.JSONObject
import org.tensorflow.lite.Interpreter

class TaskRunner(bundle: File, private val numThreads: Int = 2) : AutoCloseable {
    /** Names of the tasks, in the order of their numbers. */
    val tasks: List<String>
    /** Names of the selected task's classes, or null. */
    val labels: List<String>? get() = classNames.getOrNull(tasks.indexOf(selected))

    private val classNames: List<List<String>?>
    private val selector = Interpreter(bundle)
    private var selected: String? = null
    private var network: Interpreter? = null

    init {
        val text = String(bundle.readBytes(), Charsets.ISO_8859_1)
        // The JSON text ends with its checksum. Nothing else has these quotes.
        val end = text.lastIndexOf("\"file_sha256\":\"")
        require(end >= 0) { "$bundle is no bundle of tsn_keras" }
        val start = text.lastIndexOf("{\"version\":", end)
        val entries = JSONObject(text.substring(start)).getJSONArray("tasks")
        val parts = List(entries.length()) { entries.getJSONObject(it) }
        tasks = parts.map { it.getString("name") }
        classNames = parts.map { part ->
            part.optJSONArray("class_names")?.let { names ->
                List(names.length()) { names.getString(it) }
            }
        }
    }

    /** Puts a task to work. */
    fun select(name: String) {
        val number = tasks.indexOf(name)
        require(number >= 0) { "Unknown task '$name'. The bundle has $tasks" }
        val floats = selector.getOutputTensorFromSignature("file", "select").numElements()
        val file = ByteBuffer.allocateDirect(4 * floats).order(ByteOrder.nativeOrder())
        selector.runSignature(
            mapOf<String, Any>("task" to intArrayOf(number)),
            mapOf<String, Any>("file" to file), "select")
        file.rewind()
        network?.close()
        network = Interpreter(file, Interpreter.Options().setNumThreads(numThreads))
        selected = name
    }

    /** Takes a batch as the bundle was made for (one example by default), row after row. */
    fun predict(x: FloatArray): FloatArray {
        val network = checkNotNull(network) { "Call select(name) first, with one of $tasks" }
        val wanted = network.getInputTensor(0).numElements()
        require(x.size == wanted) { "x must have $wanted values, not ${x.size}" }
        val input = ByteBuffer.allocateDirect(4 * wanted).order(ByteOrder.nativeOrder())
        input.asFloatBuffer().put(x)
        val scores = FloatArray(network.getOutputTensor(0).numElements())
        val output = ByteBuffer.allocateDirect(4 * scores.size).order(ByteOrder.nativeOrder())
        network.run(input, output)
        output.rewind()
        output.asFloatBuffer().get(scores)
        return scores
    }

    override fun close() {
        network?.close()
        selector.close()
    }
}
