/** `tfjs-owlore export`: a model as one file for other programs. */
import {exportGguf} from '../llama/files/gguf/save_gguf';
import {ggufDtypes, type GgufDtype} from '../llama/files/gguf/write_gguf';
import {bytesText} from '../memory/limit';
import {defineCommand, type Context} from './command';
import {freeBytes} from './disk_check';
import {locate, modelOptions, withDownloads} from './model_options';
import {choice, group, outputFile, required} from './options';
import {checkOutputFile, overwrite} from './output_file';
import {nextTurn} from '../common/next_turn';
import {countMegabytes, type Progress} from './progress';
import {UsageError} from './usage_error';

const options = group('Export', {
  model: {...modelOptions.model, help: 'the model: its folder, its URL, or its name on the Hub'},
  format: choice('the format of the file, that of llama.cpp and Ollama', ['gguf'] as const, 'gguf'),
  dtype: choice<GgufDtype>(
    'number type of the matrices in the file; Q8_0 takes half of the others (default: BF16 for a model that has it, otherwise F16)',
    ggufDtypes,
  ),
  output: required(outputFile('the file to write')),
  overwrite,
});

export const exportModel = defineCommand({
  name: 'export',
  summary: 'Writes a model as one file for llama.cpp, Ollama and other programs.',
  examples: [
    ['a fine-tuned model', 'export --model run/model --output model.gguf'],
    [
      'in half of the bytes',
      'export --model HuggingFaceTB/SmolLM2-135M-Instruct --dtype Q8_0 --output smollm2.gguf',
    ],
  ],
  options,
  async run(settings, context) {
    checkOutputFile(settings, context);
    const {format, output, dtype: wanted} = settings;
    const {console, given, interruption} = context;
    const {source, adapter} = await locate(settings, context);
    if (adapter) {
      throw new UsageError(
        `${given.get('model')!}: '${settings.model}' is an adapter; put it into its model first: merge --model ${settings.model} --output merged`,
      );
    }
    const {signal} = interruption;
    let progress: Progress | undefined;
    const onProgress = async (bytes: number, total: number): Promise<void> => {
      progress ??= console.progress({label: `writing ${output}`, total, count: countMegabytes});
      progress.update(bytes);
      // in which signals can be handled
      await nextTurn();
      signal.throwIfAborted();
    };
    const onPlanned = (bytes: number): Promise<void> => checkRoom(output, bytes, context);
    const {dtype, size} = await interruption.stopTidily(() =>
      withDownloads(context, (onDownload) =>
        exportGguf(source, output, {
          ...{dtype: wanted, onDownload, onPlanned, onProgress},
          request: {signal},
        }),
      ),
    );
    progress?.end();
    console.print(`${output}: ${dtype}, ${bytesText(size)}`);
    return {output, format, dtype, bytes: size};
  },
});

/** Throws if the disk has no room for the file, beside an older one that it replaces. */
async function checkRoom(output: string, bytes: number, {given}: Context): Promise<void> {
  const room = await freeBytes(output);
  if (room === null || bytes <= room) return;
  throw new UsageError(
    `${given.get('output')}: the file takes ${bytesText(bytes)}, and where '${output}' is ${bytesText(room)} are free; make room there, or name another place`,
  );
}
