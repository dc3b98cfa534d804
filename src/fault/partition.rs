//! The fault that cuts two components off from each other, while clients still reach both: the platform answers, and
//! what it answers shows how it bears the loss of one of its parts.

use super::{Fault, Nature, recall};
use crate::client::Error;
use crate::environment::{Inventory, Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Receipt, Verdict};
use crate::node::{Node, Problem, read};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `partition: { between: [mlflow, postgres] }`
pub const KIND: Kind<dyn Fault> = Kind {
    name: "partition",
    about: "Cuts two components off from each other until it is lifted; clients still reach both.",
    example: "partition: { between: [mlflow, postgres] }",
    schema: |g| g.subschema_for::<Partition>(),
    parse: |n, p| parse(n, p).map(|k| Box::new(k) as _),
};

/// Cuts two components off from each other.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Partition {
    /// The two; the first is the one that is asked whether it reaches the other.
    between: [String; 2],
}

fn parse(node: &Node, problems: &mut Vec<Problem>) -> Option<Partition> {
    let partition: Partition = read(node, problems)?;
    let [one, other] = &partition.between;
    if one == other {
        let text = format!("`{one}` cannot be cut off from itself");
        problems.push(Problem::new(node.get("between").unwrap_or(node), text).hint("name two components"));
        return None;
    }
    Some(partition)
}

#[async_trait]
impl Fault for Partition {
    fn nature(&self) -> Nature {
        Nature::Condition
    }
    fn needs(&self) -> &'static [Power] {
        &[Power::Network]
    }
    fn targets(&self, inventory: &Inventory) -> Vec<String> {
        let [one, other] = &self.between;
        let there = [one, other].iter().all(|name| inventory.components.contains(name));
        if there { vec![format!("the way between {one} and {other}")] } else { vec![] }
    }
    async fn intend(&self, platform: &dyn Platform) -> Result<Receipt, Error> {
        let [one, other] = &self.between;
        let reaches = platform.network()?.reaches(one, other).await;
        if reaches.verdict != Verdict::Met {
            let why = reaches.reason.unwrap_or_else(|| "they do not reach each other".into());
            return Err(Error::new(format!("cannot cut `{one}` off from `{other}`"), why));
        }
        Ok(Receipt(serde_json::json!(self)))
    }
    async fn inject(&self, platform: &dyn Platform, receipt: &Receipt) -> Result<(), Error> {
        let [one, other] = recall::<Partition>(receipt)?.between;
        platform.network()?.cut(&one, &other).await
    }
    async fn confirm(&self, platform: &dyn Platform, receipt: &Receipt) -> Finding {
        let (network, [one, other]) = match (platform.network(), recall::<Partition>(receipt)) {
            (Ok(network), Ok(cut)) => (network, cut.between),
            (Err(error), _) | (_, Err(error)) => return Finding::unknown(error.to_string()),
        };
        let reaches = network.reaches(&one, &other).await;
        match reaches.verdict {
            Verdict::Missed => Finding { reason: reaches.reason, ..Finding::met() },
            Verdict::Met => Finding::missed(format!("`{one}` still reaches `{other}`")),
            Verdict::Unknown => reaches,
        }
    }
    async fn lift(&self, platform: &dyn Platform, receipt: &Receipt) -> Result<(), Error> {
        let [one, other] = recall::<Partition>(receipt)?.between;
        platform.network()?.mend(&one, &other).await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::node::parse as yaml;

    #[test]
    fn only_two_components_that_are_there_can_be_cut_off_from_each_other() {
        let of = |text: &str| {
            let mut problems = vec![];
            (parse(&yaml(text).unwrap(), &mut problems), problems.len())
        };
        let partition = of("between: [mlflow, s3]").0.unwrap();
        assert_eq!(partition.targets(&Inventory::of(["mlflow", "s3"])), ["the way between mlflow and s3"]);
        assert!(partition.targets(&Inventory::of(["mlflow", "postgres"])).is_empty());
        for wrong in ["between: [mlflow, mlflow]", "between: [mlflow]", "{}"] {
            let (partition, problems) = of(wrong);
            assert!(partition.is_none() && problems == 1, "{wrong}");
        }
    }
}
