/** `tfjs-owlore finetune`: trains a model, and leaves a folder that says how it went. */
import {existsSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {adapterCard} from '../llama/files/adapter_card';
import {GENERATION_CONFIG} from '../llama/files/generation_config';
import {TEMPLATE_FILE} from '../llama/files/origin';
import {promptFormOf} from '../llama/text/prompt_form';
import type {Tokenizer} from '../llama/text/tokenizer';
import {startMemoryMeter, type MemoryMeter} from '../memory/meter';
import {resolveBlocks} from '../model/blocks';
import {checkSampling, chooseSampling} from './block_sampling';
import {defineCommand, type Context} from './command';
import type {CommandConsole} from './console';
import {checkDisk} from './disk_check';
import {dryRun} from './dry_run';
import {checkEmbedding} from './embedding_mode';
import {cardOf} from './finetune_card';
import {
  alternatives,
  checkTogether,
  configOf,
  finetuneOptions,
  meaningless,
  scoreNames,
  type FinetuneSettings,
} from './finetune_options';
import {printOutcome, runRecord, type Outcome, type Trained} from './finetune_outcome';
import {engines, train} from './finetune_training';
import {errorIn, savingOf, untilSaved} from './full_disk';
import {FittedDefaults, type Sizes} from './fitted_defaults';
import type {LocatedModel} from './adapter';
import {
  loadModelAlone,
  locate,
  openModel,
  withTokenizerOf,
  type LoadedModel,
  type OpenedModel,
} from './model_options';
import {isHubName, isThere} from './options';
import {checkLora, optionsOfAdapter, rankOf, targetsOfAdapter} from './lora_method';
import {checkMemory} from './memory_check';
import {StoppedError} from './interruption';
import type {BackendName} from './register_backend';
import {filesOfRun} from './run_files';
import {RunFolder} from './run_folder';
import type {Plan} from './run_method';
import {checkResumable, checkRunFolder, configToResume} from './run_folder_checks';
import {checkInputsOutside} from './run_inputs';
import {checkSameData, newestCheckpoint} from './run_data';
import {checkSameOptions, checkSameSteps} from './same_options';
import {saveInOwnType, type SavedModel} from './saved_dtype';
import {prepareData, type TrainingData} from './training_data';
import {learningRates, tenthOf} from '../training_defaults';
import {messageOf} from './usage_error';
import {quoted} from './words';

export const finetune = defineCommand({
  name: 'finetune',
  summary: 'Fine-tunes a model, and writes a folder with the model and how it went.',
  examples: [
    [
      'with OwLore',
      'finetune --model HuggingFaceTB/SmolLM2-135M-Instruct --data train.jsonl --output run',
    ],
    [
      'what it would be',
      'finetune --model HuggingFaceTB/SmolLM2-135M-Instruct --data train.jsonl --dry-run',
    ],
    ['the same run again', 'finetune --config run/config.json --output again'],
    [
      'another method, longer',
      'finetune --model HuggingFaceTB/SmolLM2-135M-Instruct --data train.jsonl --output run --method lisa --epochs 3',
    ],
  ],
  options: finetuneOptions,
  ...{alternatives, meaningless},
  mostUsed: [
    ...['model', 'data', 'dryRun', 'output', 'resume', 'method'],
    ...['gamma', 'rank', 'epochs', 'learningRate', 'batchSize', 'maxLength'],
  ],
  configFile: ({resume}) =>
    resume === undefined ? undefined : configToResume('finetune: --resume', resume),
  async run(all, context) {
    const {given} = context;
    const located = await locate(all, context);
    const own = located.adapter && optionsOfAdapter(located.adapter, all, given);
    const method = own?.method ?? all.method;
    const wanted = {
      ...all,
      ...(all.resume !== undefined && {output: all.resume}),
      learningRate: all.learningRate ?? learningRates[method],
      rank: rankOf({...all, method}, given),
      ...{model: located.source, ...own},
    };
    checkTogether(wanted, given);
    if (all.dryRun) return dryRunOf(wanted, located, context);
    const {output, model, data, validation, chatTemplate, scores, resume} = wanted;
    const pathOf = (place: string | undefined): string | undefined =>
      place === undefined || isHubName(place) ? undefined : place;
    checkInputsOutside(given, output, {
      ...{data, validation, chatTemplate},
      ...{model: pathOf(model), adapter: pathOf(all.adapter)},
      scores: scoreNames.includes(scores) ? undefined : scores,
    });
    // which may be the adapter
    checkInputsOutside(given, output, {model: pathOf(all.model)});
    if (resume !== undefined) checkResumable(given.get('resume')!, resume);
    else checkRunFolder(given.get('output')!, output, wanted.overwrite);
    const settings = await engines[wanted.engine].check(wanted, context);
    const backend = await context.selectBackend(settings.backend);
    const checked = await checkRun({...settings, backend}, located, context);
    // not before, as it would keep counting the models of the estimates
    const meter = startMemoryMeter();
    try {
      const {frozenDtype} = settings;
      const alone = await loadModelAlone(
        {...settings, backend},
        // an adapter that trains is not put into its model
        {...located, adapter: null},
        context,
        // a large vocabulary's logits would be most of the memory
        {headInLoss: true, frozenDtype},
      );
      const loaded = withTokenizerOf(alone, located.adapter);
      try {
        return await finetuneModel(checked, loaded, meter, context);
      } finally {
        loaded.model.dispose();
      }
    } finally {
      meter.stop();
    }
  },
});

/** Says what a run would be; reads no weights, and writes nothing. */
async function dryRunOf(
  wanted: FinetuneSettings,
  located: LocatedModel,
  context: Context,
): Promise<object> {
  const possible = await engines[wanted.engine].check(wanted, context);
  const backend = await context.selectBackend(possible.backend);
  const {opened, settings} = await openRun({...possible, backend}, located, context);
  checkSampling(settings, opened.config, context);
  return dryRun(settings, opened, context);
}

/** A run whose options and data are right, as far as that can be known without the model's weights. */
interface CheckedRun extends Pick<LocatedModel, 'adapter'> {
  settings: FinetuneSettings;
  /** Of a run that goes on, the file of the scores that it has computed before, in the place of those that it is to compute. */
  scores: FinetuneSettings['scores'];
  data: TrainingData;
  /** See `Outcome`. */
  prompt: string | null;
  chatTemplate: OpenedModel['chatTemplate'];
  /** Which defaults were changed so far. */
  fitted: FittedDefaults;
}

/** Opens the model of a run, and checks the options that must fit it. */
async function openRun<T extends FinetuneSettings>(
  all: T,
  located: LocatedModel,
  context: Context,
): Promise<{opened: OpenedModel; settings: T}> {
  const opened = await openModel(all, context, located);
  const {config, adapter} = opened;
  const settings = {
    ...all,
    ...(adapter && {targets: targetsOfAdapter(adapter, all, config, context.given)}),
  };
  checkEmbedding(settings.embedding, config, settings.rank);
  checkLora(settings, config);
  return {opened, settings};
}

/** Checks options and data, so that errors in them are found before a model of gigabytes is downloaded or loaded. */
async function checkRun(
  all: FinetuneSettings & {backend: BackendName},
  located: LocatedModel,
  context: Context,
): Promise<CheckedRun> {
  const {opened, settings} = await openRun(all, located, context);
  const {config, adapter} = opened;
  const {resume} = settings;
  const from = resume === undefined ? null : await newestCheckpoint(resume);
  // before the data, whose rows other options change
  if (from) checkSameOptions(from, settings, context.console);
  // a run that goes on has computed its scores before, and one that begins anew may do so with other data
  const file = filesOfRun(resume ?? '').scores;
  const hasScores = from !== null && settings.scores !== 'uniform' && existsSync(file);
  const scores = hasScores ? file : settings.scores;
  checkSampling({...settings, scores}, config, context);
  await checkMemory(settings, opened, context);
  const fitted = new FittedDefaults(context.given);
  const data = await prepareData(settings, opened, fitted, context);
  if (from) {
    checkSameData(from, data.contents, settings, context.console);
    checkSameSteps(from, settings, data.steps);
  }
  const {saveEvery = tenthOf(data.steps)} = settings;
  await checkDisk({...settings, saveEvery}, opened, data, context);
  const {chatTemplate, tokenizer} = opened;
  const prompt = await promptOf(settings, tokenizer);
  return {settings: {...settings, saveEvery}, adapter, scores, data, prompt, chatTemplate, fitted};
}

async function finetuneModel(
  checked: CheckedRun,
  loaded: LoadedModel,
  meter: MemoryMeter,
  context: Context,
): Promise<object> {
  const start = performance.now();
  const {chatTemplate} = checked;
  const plan = await makePlan(checked, loaded, context);
  const {console, given, interruption} = context;
  const {output, overwrite, resume} = plan.settings;
  let folder: RunFolder;
  try {
    folder =
      resume === undefined
        ? RunFolder.open(given.get('output')!, output, overwrite)
        : RunFolder.resume(given.get('resume')!, resume);
  } catch (error) {
    throw errorIn(output, error);
  }
  if (folder.replacesEarlier) {
    console.note(
      `${folder.path}: the earlier run stays until this one is done in ${folder.current}`,
    );
  }
  interruption.signal.addEventListener('abort', () =>
    console.note('stopping after this batch; once more, and the process ends at once'),
  );
  return interruption.stopTidily(async () => {
    const outcome = await runIn(folder, context, async () => {
      const saved = <T>(save: () => T | Promise<T>): Promise<T> =>
        untilSaved(savingOf(folder), save, context);
      await saved(() => folder.writeConfig(configOf(plan.settings)));
      const trained = await train(plan, loaded, meter, folder, context);
      try {
        const withTemplate = {...loaded, chatTemplate};
        const model = await saveTrained(plan, trained, withTemplate, folder, saved, context);
        const settings = {...plan.settings, dtype: model.dtype};
        await trained.answer();
        if (plan.settings.keepBest !== false)
          await saved(() => folder.append({event: 'saved', ...trained.monitor.kept}));
        const outcome: Outcome = {
          ...{
            settings,
            trained,
            savedLoss: model.loss,
            sampling: plan.sampling,
            report: plan.data.report,
          },
          parameters: loaded.model.countParams(),
          prompt: checked.prompt,
          seconds: trained.monitor.earlierSeconds + (performance.now() - start) / 1000,
        };
        await saved(() => folder.writeReport(runRecord(outcome, folder)));
        return outcome;
      } catch (error) {
        await keepTraining(trained, folder, console);
        throw error;
      } finally {
        trained.dispose();
      }
    });
    return printOutcome(outcome, folder, console);
  });
}

/** A text that asks a model in the form of the examples; null: it is asked in a chat. */
async function promptOf(
  {data, fields}: FinetuneSettings,
  {hasChatTemplate}: Tokenizer,
): Promise<string | null> {
  const options = {format: 'auto', fields: fields ?? null, hasChatTemplate} as const;
  const form = await promptFormOf('finetune', data, options);
  const example = form?.('…');
  if (example?.format === 'prompt-completion') return example.prompt;
  return hasChatTemplate ? null : '…';
}

/** Saves the model, and the adapter if there is one. */
async function saveTrained(
  {settings, adapter, data}: Plan,
  {monitor, lora}: Trained,
  loaded: LoadedModel & Pick<OpenedModel, 'chatTemplate'>,
  folder: RunFolder,
  saved: <T>(save: () => Promise<T>) => Promise<T>,
  context: Context,
): Promise<SavedModel> {
  const {files, hubName, chatTemplate} = loaded;
  // what of a tokenizer is not the model's own belongs to the adapter
  const own = new Map(chatTemplate !== undefined || adapter?.files.size ? files : []);
  own.delete(GENERATION_CONFIG);
  if (chatTemplate !== undefined) own.set(TEMPLATE_FILE, Buffer.from(chatTemplate));
  const card = cardOf(settings, monitor, data.report);
  const saveAdapter = async (): Promise<void> => {
    if (!lora) return;
    if (lora.isMerged) lora.unmerge();
    const [hubId, revision] = hubName?.split('@') ?? [];
    const baseModel = hubId ?? folderOf(settings.model);
    const base = {...(baseModel && {baseModel}), ...(revision && {revision})};
    own.set(...adapterCard(loaded.model, {...card, ...(hubId && {baseModel: hubId})}));
    await folder.saveAdapter(async (target) => {
      await lora.save(target, base);
      for (const [name, bytes] of own) writeFileSync(join(target, name), bytes, {flag: 'wx'});
    });
    lora.merge();
  };
  const {loss} = monitor.kept;
  // both again in a folder to which the run has moved
  return saved(async () => {
    await saveAdapter();
    return folder.saveModel((target) =>
      saveInOwnType(settings, loaded, target, {card, chatTemplate}, loss, data, context),
    );
  });
}

/** The folder of a model for peft, as it was given; undefined if it has none. */
function folderOf(model: string): string | undefined {
  if (isThere('folder', model)) return model;
  return model.endsWith('.safetensors') && isThere('file', model) ? dirname(model) : undefined;
}

/** Saves the training itself where its model or its report could not be saved, so that it need not be done again. */
async function keepTraining(
  {lora, saveCheckpoint}: Trained,
  folder: RunFolder,
  console: CommandConsole,
): Promise<void> {
  try {
    if (saveCheckpoint) {
      if (lora?.isMerged) lora.unmerge();
      await saveCheckpoint();
    }
    console.note(
      `the training is in a checkpoint; to save its model: finetune --resume ${quoted(folder.path)}`,
    );
  } catch (cause) {
    console.note(`warning: the training could not be saved either: ${messageOf(cause)}`);
  }
}

/** Runs `body`, and ends the log of the run as it ended. */
async function runIn<T>(folder: RunFolder, context: Context, body: () => Promise<T>): Promise<T> {
  const {console, withFlags} = context;
  try {
    const result = await body();
    await untilSaved(savingOf(folder), () => folder.finish(), context);
    return result;
  } catch (cause) {
    const error = errorIn(folder.current, cause);
    try {
      const isStopped = error instanceof StoppedError;
      folder.stop(
        isStopped ? {state: 'interrupted'} : {state: 'failed', error: withFlags(messageOf(error))},
      );
    } catch (cause) {
      console.note(`warning: the log could not be ended: ${messageOf(cause)}`);
    }
    throw error;
  }
}

/** Fills in what depends on the model's weights, before anything is written. */
async function makePlan(
  {settings, adapter, scores, data, fitted}: CheckedRun,
  loaded: LoadedModel,
  context: Context,
): Promise<Plan> {
  const {model} = loaded;
  const {steps, batchSize} = data;
  const blocks = resolveBlocks(model);
  const sizes: Sizes = {blocks: blocks.length, steps};
  const scored = {
    blocks: blocks.map(({name}) => name),
    from: {model, dataset: data.training({repeat: false})},
  };
  const sampling = await chooseSampling({...settings, scores}, scored, sizes, fitted, context);
  const line = fitted.line();
  if (line !== null) context.console.note(line);
  if (!context.given.has('learningRate'))
    context.console.note(
      `learning rate ${settings.learningRate}, the default of --method ${settings.method}`,
    );
  return {
    settings: {
      ...settings,
      ...{backend: loaded.backend, batchSize},
      // so that a later run has the same model
      ...(isHubName(settings.model) && {model: loaded.hubName!}),
      evaluateEvery: settings.evaluateEvery ?? tenthOf(steps),
      ...(sampling && {gamma: sampling.options.gamma, interval: sampling.options.interval}),
      ...(sampling?.tau !== undefined && {tau: sampling.tau}),
    },
    ...{adapter, data, sampling},
  };
}
