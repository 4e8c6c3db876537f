/** What a page asks a worker for. */
import type {FileMap} from '../files/source';
import type {FieldNames, ExampleFormat} from '../llama/text/formats';
import type {EmbeddingMode} from '../memory/estimate/embedding_mode';
import type {PaperMethodName} from '../methods';
import type {ScoreKind} from '../owlore/scores/score_kinds';
import type {ScheduleName} from '../training_defaults';

/** How the files of examples are read; the names and defaults of `textDataset`, and two of its tokenizer. */
export interface DatasetForms {
  /** The format of the examples. Default `'auto'`: decided for each by its fields. */
  format?: ExampleFormat;
  /** Which fields of an example hold what, where they have other names than the usual ones. Default null. */
  fields?: FieldNames | null;
  /** Whether rows hold several examples one after the other. Default false. */
  packing?: boolean;
  /** Whether the loss counts prompts too. Default false. */
  learnPrompts?: boolean;
  /** A chat template, in Jinja, in the place of the model's own. Default: the model's. */
  template?: string;
}

/** A model: its name on the Hugging Face Hub, the URL of a folder or of a GGUF file, its files by name, or the handle of a folder. */
export type WorkerModel = string | FileMap | FileSystemDirectoryHandle;

/** A backend of tfjs in a page. */
export type WorkerBackend = 'webgpu' | 'wasm' | 'webgl' | 'cpu';

/**
 * Options of {@link fineTuneInWorker}: names and defaults are those of `tfjs-owlore finetune`. One that has no effect with the others,
 * such as `rank` with `'lisa'`, is not looked at.
 */
export interface FineTuneOptions {
  /**
   * The model: its name on the Hugging Face Hub (`owner/name` or `owner/name@revision`), the http(s) URL of a folder or of a GGUF file,
   * its files by name (`File`s of a drop, say), or the handle of a folder.
   */
  model: WorkerModel;
  /** The examples, as files by name: each a `File`, another `Blob`, or its text. Several are read one after the other, and are of one format. */
  data: Readonly<Record<string, Blob | string>>;
  /** How the examples are read. */
  dataset?: DatasetForms;
  /** Part of the examples that is held out, at most 500 of them, whose loss is measured; > 0 and < 1. Default 0.05. */
  validationSplit?: number;
  /** The method, by its name in `paperMethod`. Default `'owlore'`. */
  method?: PaperMethodName;
  /** Blocks that train at a time. Default: the method's, or as many as the model has room for. */
  gamma?: number;
  /** Rank of low-rank updates. Default 128; with `'lora'` that of A and B, 8. */
  rank?: number;
  /** Steps until other blocks are drawn. Default 50, or less in a run of less than 500 steps. */
  interval?: number;
  /** The scores of blocks by which `'owlore'` and `'owlore-full'` draw them. Default `'outlier'`. */
  scores?: ScoreKind | 'uniform';
  /** Steps until the subspace of a low-rank update is chosen anew. Default 200. */
  refreshInterval?: number;
  /** The highest learning rate. Default: of the method, 5e-4 with `'owlore'`. */
  learningRate?: number;
  /** How the rate goes on after the warm-up: it falls to 0 or stays. Default `'linear'`. */
  schedule?: ScheduleName;
  /** Steps in which the rate rises to its highest. Default 0. */
  warmup?: number;
  /** Steps of training, in the place of `epochs`. */
  steps?: number;
  /** Passes over the examples. Default 1. */
  epochs?: number;
  /** Rows in a batch. Default 16, or as many examples as there are. */
  batchSize?: number;
  /** Tokens in a row. Default 512, or as many as the model takes. */
  maxLength?: number;
  /** Batches whose gradients make a step. Default 1. */
  accumulate?: number;
  /** Of all that is random. Default 0. */
  seed?: number;
  /** How embedding and head train: in full, by low-rank updates, or not at all. Default `'full'`. */
  embedding?: EmbeddingMode;
  /** How matrices are kept that do not train; `'BF16'` takes half of the memory. Default `'F32'`. */
  frozenDtype?: 'F32' | 'BF16';
  /** Which layers run again in the backward pass, to save memory. Default `'auto'`. */
  gradientCheckpointing?: 'auto' | 'blocks' | 'none';
  /** Steps between held-out losses; there is one before the first step, after the last one and at a stop, too. Default: a tenth of the run. */
  evaluateEvery?: number;
  /**
   * Steps between checkpoints in the browser's storage, which keeps the newest; 0: only when the run is paused, stopped or done, or at
   * {@link FineTuning.checkpoint}. Default: the first after 5 seconds, then so many that saving takes about a twentieth of the time, at least 19 seconds.
   */
  saveEvery?: number;
  /** Steps between samples of text, drawn at temperature 0.7 with the same draws each time; before, after and at a stop as with `evaluateEvery`; 0: none. Default: a tenth of the run. */
  sampleEvery?: number;
  /**
   * What samples answer: prompts in the form of the examples, messages of a user where the model has a chat template, and otherwise
   * beginnings of texts. Default: that of a held-out example.
   */
  prompts?: readonly string[];
  /** The backend. Default `'auto'`: webgpu if the browser has it, otherwise wasm, with threads where the page is cross-origin isolated. */
  backend?: WorkerBackend | 'auto';
  /** Threads on wasm, as `setThreads` takes them. Default: the processors, at most 8. */
  threads?: number;
  /**
   * Where the `.wasm` files of `@tensorflow/tfjs-backend-wasm` are, as its `setWasmPaths` takes it: the URL of a folder, or URLs by name.
   * Default: this library's own copies, beside its worker or where a bundler has put them.
   */
  wasmPaths?: string | Readonly<Record<string, string>>;
  /**
   * The name of the run in the browser's storage, by which {@link resumeInWorker} finds it. Default: made of the model's name and the
   * time. Null: nothing is kept.
   */
  run?: string | null;
  /** A token of the Hugging Face Hub, for models that are private or behind conditions. It is sent to the Hub alone, and not kept. */
  token?: string;
  /** Makes the worker, where a bundler needs its own way. Default: a module worker of this library's file. */
  worker?: () => Worker;
}

/** What {@link resumeInWorker} takes beside the name of the run, whose other options are those that it began with. */
export interface ResumeOptions extends Pick<
  FineTuneOptions,
  'backend' | 'threads' | 'wasmPaths' | 'token' | 'worker'
> {
  /**
   * Whether it makes the steps that are left. Default true; with false the run is only opened, as it is at its newest checkpoint, to chat with
   * and to save, and nothing is written but what is saved.
   */
  train?: boolean;
}

/** What a worker gets of the options; all of it can be sent. */
export type SentOptions = Omit<FineTuneOptions, 'worker'>;

/** A message of a chat. */
export interface WorkerChatMessage {
  role: string;
  content: string;
}

/** Options of {@link FineTuning.chat}. */
export interface WorkerChatOptions {
  /** Which model answers: as it was before the training, or as it is now. Default `'after'`. */
  of?: 'before' | 'after';
  /** The most new tokens. Default 128, or as many as there is room for. */
  maxTokens?: number;
  /** 0: always the most probable token; above, tokens are drawn. Default 0. */
  temperature?: number;
  /** Of the draws. Default null: others each time. */
  seed?: number | null;
  /** Called with each piece of the answer as it comes. */
  onText?: (text: string) => void;
  /** Called with the end of an answer that has all of its tokens, so that the model may have had more to say. */
  onCut?: () => void;
  /** Ends the answer where it is. */
  signal?: AbortSignal;
}

/** In which form a model is saved: a folder as Hugging Face has it, one GGUF file, or the adapter of `'lora'` as peft has it. */
export type SaveForm = (typeof saveForms)[number];

/** All forms. */
export const saveForms = ['safetensors', 'gguf', 'adapter'] as const;
