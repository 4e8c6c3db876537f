/** A cell of the comparison: one training, by one method, with one seed, and what is measured of the model that comes of it. */

/** Options of `tfjs-owlore finetune` by their names in the library. */
export type Options = Readonly<Record<string, string | number | boolean>>;

/** Which examples the held-out loss is of: rates are chosen on examples that no table shows. */
export type HeldOut = 'validation' | 'test';

export interface Cell {
  /**
   * What distinguishes the training from others of its setting: `method`, `learningRate`, `seed` and others. `scores` is the kind of
   * score, `tau` that of outlier scores. Without a method: the model as it is.
   */
  options: Options;
  heldOut: HeldOut;
}

/** The model before any training. */
export function untrained(heldOut: HeldOut): Cell {
  return {options: {}, heldOut};
}

/** The name of a training, also of its folder: `owlore_gamma-5_learning-rate-0.0005_scores-outlier_seed-1_tau-13`. */
export function trainingName({options}: Cell): string {
  const {method = 'untrained', ...others} = options;
  const parts = Object.entries(others)
    .map(([name, value]) => `${kebabCase(name)}-${value}`)
    .sort();
  return [method, ...parts].join('_');
}

/** The name of a cell, also of its file of results. */
export function cellName(cell: Cell): string {
  return `${trainingName(cell)}_on-${cell.heldOut}`;
}

/** Options as arguments of the command line. */
export function argumentsOf(options: Options): string[] {
  return Object.entries(options).flatMap(([name, value]) => {
    const flag = `--${kebabCase(name)}`;
    if (typeof value === 'boolean') return value ? [flag] : [];
    return [flag, String(value)];
  });
}

function kebabCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
