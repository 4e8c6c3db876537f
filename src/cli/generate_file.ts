/** `tfjs-owlore generate --prompts`: many texts, several at a time. */
import {generateBatch, type Generation} from '../llama/index';
import type {Context} from './command';
import type {CommandConsole} from './console';
import type {GenerateSettings, WriteSettings} from './generate_settings';
import {StoppedError} from './interruption';
import type {Loaded, OpenedModel} from './model_options';
import {openOutputFile, unwritable, type OutputFile} from './output_file';
import type {PromptLine} from './prompts_file';
import {describeSpeed} from './sampling_options';
import {endTokens, TextStream} from '../llama/generation/text_stream';
import {encodePrompt} from '../llama/text/example_prompt';

/**
 * The tokens of each line of a file.
 *
 * @throws if the model cannot take them.
 */
export function tokensOfLines(
  path: string,
  lines: readonly PromptLine[],
  opened: OpenedModel,
  settings: GenerateSettings,
): number[][] {
  const prompts = lines.map((line) => tokensOf(path, line, opened, settings));
  checkNewTokens(path, lines, prompts, opened, settings);
  return prompts;
}

/**
 * Continues the texts of a file. Results are written in the order of its lines, each as soon as those before it are there.
 *
 * @param prompts As {@link tokensOfLines}.
 */
export async function generateFile(
  lines: readonly PromptLine[],
  prompts: readonly number[][],
  loaded: Loaded,
  settings: WriteSettings,
  {console, interruption}: Context,
): Promise<object> {
  const {model, tokenizer, backend} = loaded;
  const {batch, output, stop, maxNewTokens, sampling} = settings;
  const streams = prompts.map((ids) => new TextStream(tokenizer, ids, stop));
  const seed = settings.seed ?? Math.floor(Math.random() * 2 ** 32);

  const writer = await ResultWriter.open(console, output, settings.overwrite);
  const showsProgress = output !== undefined || !console.isWatched;
  const progress = showsProgress
    ? console.progress({label: 'writing', total: lines.length})
    : undefined;
  const start = performance.now();
  const seconds = (): number => (performance.now() - start) / 1000;
  let [tokens, ended, done] = [0, 0, 0];
  try {
    await generateBatch(model, prompts, {
      ...{...sampling, maxNewTokens, seed, batchSize: batch},
      stop: endTokens(loaded),
      signal: interruption.signal,
      onToken: (id, _, i) => {
        streams[i]!.push(id);
        tokens++;
        progress?.update(ended, `${(tokens / seconds()).toPrecision(3)} tokens a second`);
        return !streams[i]!.isStopped;
      },
      onResult: ({ids, finishReason}, i) => {
        streams[i]!.end();
        ended++;
        if (finishReason !== 'abort') done++;
        writer.add(i, {
          ...lines[i]!.fields,
          text: streams[i]!.text,
          finishReason: reasons[finishReason],
          promptTokens: prompts[i]!.length,
          newTokens: ids.length,
          ...(sampling.temperature > 0 && {seed: (seed + i) % 2 ** 32}),
        });
      },
    });
    writer.close();
  } catch (error) {
    writer.abort();
    throw error;
  } finally {
    console.endProgress();
  }
  const result = {
    ...(output === undefined ? {results: writer.results} : {output}),
    ...{texts: ended, tokens, seconds: seconds(), backend},
  };
  if (done < lines.length) {
    const cut = ended - done;
    const {stopSignal} = interruption.signal.reason as StoppedError;
    const rest = cut > 0 ? `; ${cut} more ${cut === 1 ? 'is' : 'are'} cut off` : '';
    throw new StoppedError(stopSignal, `after ${done} of ${lines.length} texts${rest}`, result);
  }
  const counts = `${ended} text${ended === 1 ? '' : 's'}, ${tokens} tokens`;
  console.note(describeSpeed(counts, tokens, seconds()));
  if (output !== undefined) console.note(`Texts: ${output}`);
  return result;
}

const reasons: Readonly<Record<Generation['finishReason'], string>> = {
  length: 'length',
  stop: 'stop',
  onToken: 'stop', // by a text of --stop
  abort: 'interrupted',
};

/** @throws if the model cannot take it. */
function tokensOf(
  path: string,
  {line, prompt}: PromptLine,
  {tokenizer, config}: OpenedModel,
  {chat}: GenerateSettings,
): number[] {
  try {
    const isText = typeof prompt === 'string';
    const messages = isText ? [{role: 'user', content: prompt}] : prompt;
    const ids =
      isText && !chat
        ? encodePrompt(tokenizer, prompt)
        : tokenizer.applyChatTemplate(messages, {addGenerationPrompt: true});
    const max = config.maxPositionEmbeddings;
    if (ids.length > 0 && ids.length < max) return ids;
    throw new Error(
      `the text must have at least one token, and fewer than ${max}, the positions of the model; got ${ids.length}`,
    );
  } catch (cause) {
    throw new Error(`generate: ${path}: line ${line}: ${(cause as Error).message}`, {cause});
  }
}

/** The library's default of new tokens is of each prompt; one that is given must fit all. */
function checkNewTokens(
  path: string,
  lines: readonly PromptLine[],
  prompts: readonly number[][],
  {config}: OpenedModel,
  {maxNewTokens}: GenerateSettings,
): void {
  if (maxNewTokens === undefined) return;
  const max = config.maxPositionEmbeddings;
  const i = prompts.findIndex(({length}) => length + maxNewTokens > max);
  if (i < 0) return;
  throw new Error(
    `generate: maxNewTokens must be at most ${max - prompts[i]!.length} for line ${lines[i]!.line} of ${path}, whose text ` +
      `takes ${prompts[i]!.length} of the model's ${max} positions; got ${maxNewTokens}`,
  );
}

/** Writes results in order, whatever the order is in which they come. */
class ResultWriter {
  /** All that were written, for `--json` without a file. */
  readonly results: object[] = [];
  private readonly waiting = new Map<number, object>();
  private next = 0;

  private constructor(
    private readonly console: CommandConsole,
    private readonly output: string | undefined,
    private readonly file: OutputFile | null,
  ) {}

  static async open(
    console: CommandConsole,
    output: string | undefined,
    overwrite: boolean,
  ): Promise<ResultWriter> {
    if (output === undefined) return new ResultWriter(console, output, null);
    try {
      return new ResultWriter(console, output, await openOutputFile(output, overwrite));
    } catch (error) {
      throw unwritable('generate', output, error);
    }
  }

  add(index: number, result: object): void {
    this.waiting.set(index, result);
    for (let ready; (ready = this.waiting.get(this.next)); this.next++) {
      this.waiting.delete(this.next);
      this.write(ready);
    }
  }

  /** A file that was there is replaced by the results, unless the command was stopped before the first of them. */
  close(): void {
    if (this.next > 0) this.attempt((file) => file.close());
    else this.abort();
  }

  abort(): void {
    this.file?.abort();
  }

  private write(result: object): void {
    const line = JSON.stringify(result);
    if (this.file === null) {
      if (this.console.isJson) this.results.push(result);
      this.console.print(line);
    } else this.attempt((file) => file.write(`${line}\n`));
  }

  private attempt(body: (file: OutputFile) => void): void {
    try {
      if (this.file) body(this.file);
    } catch (error) {
      throw unwritable('generate', this.output!, error);
    }
  }
}
