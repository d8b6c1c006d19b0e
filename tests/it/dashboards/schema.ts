// Grafana's own types of a dashboard as it stands in a file. A test puts the dashboard below them and compiles it.
import type { AnnotationQuery, Dashboard, DataQuery, Panel, RowPanel, VariableModel } from "@grafana/schema";
import type * as Stat from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type * as StateTimeline from "@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen";
import type * as Table from "@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen";
import type * as TimeSeries from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";

/** A type as JSON holds it: the members of an enumeration are their texts. */
type Json<T> = 0 extends 1 & T
  ? T
  : T extends string
    ? `${T}`
    : T extends (infer Item)[]
      ? Json<Item>[]
      : T extends object
        ? { [Key in keyof T]: Json<T[Key]> }
        : T;

// What Grafana's data source for Prometheus reads beside them, which the package does not describe.
type Target = DataQuery & { expr: string; legendFormat?: string; editorMode?: "code"; format?: "table" | "time_series"; instant?: boolean; range?: boolean };
type Annotation = Omit<AnnotationQuery, "target"> & { target: { refId: string; expr: string; interval: string }; titleFormat: string; textFormat: string };
type Variable = VariableModel & { definition?: string };

/** One kind of panel with options and fields of its own. */
type Of<Kind extends string, Options, Custom> = Omit<Json<Panel>, "type" | "options" | "targets" | "fieldConfig"> & {
  type: Kind;
  options: Json<Options>;
  targets: Json<Target>[];
  fieldConfig: {
    defaults: Omit<Json<NonNullable<Panel["fieldConfig"]>["defaults"]>, "custom"> & { custom?: Json<Custom> };
    overrides: Json<NonNullable<Panel["fieldConfig"]>["overrides"]>;
  };
};

type Shipped = Omit<Json<Dashboard>, "panels" | "annotations" | "templating"> & {
  annotations: { list: Json<Annotation>[] };
  templating: { list: Json<Variable>[] };
  panels: (
    | (Json<RowPanel> & { type: "row" })
    | Of<"stat", Stat.Options, never>
    | Of<"state-timeline", StateTimeline.Options, StateTimeline.FieldConfig>
    | Of<"table", Table.Options, Table.FieldConfig>
    | Of<"timeseries", TimeSeries.Options, TimeSeries.FieldConfig>
  )[];
};

